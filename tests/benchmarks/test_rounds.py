"""Whole rounds of FedNTD's CIFAR-10 workload on two workers, evaluation included, beside bare loops side by side."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from benchmark.cell import Cell
from benchmark.pace import pace
from benchmark.profile import profile

ROUNDS = {"paper-fedntd-t1-cifar10-s2": 5, "cifar10-dirichlet": 13}


@cache
def parts(task: str) -> dict[str, Any]:
    """Where FedAvg's time goes, and how many images a round has, which are as many for other methods here."""
    return profile(Cell(task, "fedavg", rounds=ROUNDS[task]))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["fedavg", "fedntd"])
@pytest.mark.parametrize("task", ROUNDS)
def test_whole_rounds(benchmark: Any, task: str, method: str, precision: Any) -> None:
    cell = Cell(task, method, rounds=ROUNDS[task], precision=precision)
    whole = benchmark.pedantic(pace, (cell, 2, parts(task)["images"]), rounds=1)
    assert whole["rounds"] == cell.rounds - 3
    benchmark.extra_info.update(whole, local_training_share=parts(task)["share"], parts=parts(task)["seconds"])

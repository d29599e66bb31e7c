"""Whole rounds of FedNTD's CIFAR-10 workload on two workers, evaluation included, beside bare loops side by side."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from benchmark.cell import Cell
from benchmark.pace import pace
from benchmark.profile import profile

PAPER, UNEVEN = "paper-fedntd-t1-cifar10-s2", "cifar10-dirichlet"
ROUNDS = {PAPER: 5, UNEVEN: 13}
CASES = [
    *((PAPER, method, "fp32") for method in ("fedavg", "fedntd", "fedprox", "scaffold", "feddyn")),
    *((PAPER, method, "bf16") for method in ("fedavg", "fedntd")),
    *((UNEVEN, "fedavg", precision) for precision in ("fp32", "bf16")),
]


@cache
def parts(task: str) -> dict[str, Any]:
    """Where FedAvg's time goes, and how many images a round has, which are as many for other methods here."""
    return profile(Cell(task, "fedavg", rounds=ROUNDS[task]))


@pytest.mark.parametrize(("task", "method", "precision"), CASES)
def test_whole_rounds(benchmark: Any, task: str, method: str, precision: Any) -> None:
    cell = Cell(task, method, rounds=ROUNDS[task], precision=precision)
    whole = benchmark.pedantic(pace, (cell, 2, parts(task)["images"]), rounds=1)
    assert whole["rounds"] == cell.rounds - 3
    benchmark.extra_info.update(whole, local_training_share=parts(task)["share"], parts=parts(task)["seconds"])

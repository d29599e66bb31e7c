"""Whole rounds of FedNTD's CIFAR-10 workload on two workers, evaluation included, beside bare loops side by side."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any

import pytest
import torch

from benchmark.core.processes import huge_pages
from benchmark.experiments.cell import Cell
from benchmark.profiling.round_throughput import round_throughput
from benchmark.profiling.time_breakdown import time_breakdown

pytestmark = pytest.mark.slow

PAPER, UNEVEN, WORKERS = "paper-fedntd-t1-cifar10-s2", "cifar10-dirichlet", 2
ROUNDS = {PAPER: 5, UNEVEN: 13}
CASES = [
    *((PAPER, method, "fp32") for method in ("fedavg", "fedntd", "fedprox", "scaffold", "feddyn")),
    *((PAPER, method, "bf16") for method in ("fedavg", "fedntd")),
    *((UNEVEN, "fedavg", precision) for precision in ("fp32", "bf16")),
]


@cache
def parts(task: str, precision: Any) -> dict[str, Any]:
    """Where FedAvg's time goes in processes side by side, set up as workers are; shares of bare loops in the same ones.

    How many images a round has is the same for other methods here.
    """
    cell, spawn = Cell(task, "fedavg", rounds=ROUNDS[task], precision=precision), multiprocessing.get_context("spawn")
    with huge_pages(), ProcessPoolExecutor(WORKERS, spawn, torch.set_num_threads, (1,)) as pool:
        profiles = list(pool.map(time_breakdown, [cell] * WORKERS))
    return profiles[0] | {"share": round(sum(facts["share"] for facts in profiles) / WORKERS, 3)}


@pytest.mark.parametrize(("task", "method", "precision"), CASES)
def test_whole_rounds(benchmark: Any, task: str, method: str, precision: Any) -> None:
    cell, plain = Cell(task, method, rounds=ROUNDS[task], precision=precision), parts(task, precision)
    whole = benchmark.pedantic(round_throughput, (cell, WORKERS, plain["images"]), rounds=1)
    assert whole["rounds"] == cell.rounds - 3
    if method == "fedavg":
        whole |= {"local_training_share": plain["share"], "parts": plain["seconds"]}
    benchmark.extra_info.update(whole)

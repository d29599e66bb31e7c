"""Where time goes: what is counted is derived from the task; how long it took is nobody's promise here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.core.client.federation import Federation
from benchmark.core.errors import BenchmarkError
from benchmark.experiments.cell import Cell
from benchmark.profiling.round_throughput import round_throughput
from benchmark.profiling.time_breakdown import time_breakdown

pytestmark = pytest.mark.slow

TASK = """
track: global
tier: quick
dataset: digits
split: {kind: dirichlet, alpha: 0.5, minimum: 4}
clients: 6
cohort: 2
rounds: 5
networks: [mlp]
train: {epochs: 2, batch: 16, optimiser: {name: sgd, lr: 0.1}}
evaluate_every: 2
"""


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    (tmp_path / "brief.yaml").write_text(TASK)
    return Cell(str(tmp_path / "brief.yaml"), "fedavg")


def test_images_and_parts(cell: Cell) -> None:
    facts = time_breakdown(cell)
    ready = cell.prepare()
    federation = Federation.open(ready.task, 0, ready.algorithm)
    trained = [0]
    for round_ in range(4):
        trained.append(trained[-1] + 2 * sum(federation.who(client).size for client in federation.cohort(round_)))
    # round 2 is judged in two halves of four slices, beside rounds 3 and 4
    half = sum(federation.test.size * end // 4 - federation.test.size * start // 4 for start, end in ((0, 1), (1, 2)))
    assert facts["images"] == list(zip(trained, [0, 0, 0, half, federation.test.size], strict=True))
    parts = ["data", "forward", "backward", "optimiser", "messages", "evaluation", "engine"]
    assert list(facts["seconds"]) == parts and min(facts["seconds"].values()) >= 0
    assert facts["share"] == pytest.approx(facts["images_per_second"] / facts["bare_images_per_second"], rel=0.01)


def test_whole_rounds_on_workers(cell: Cell) -> None:
    images = [(100 * number, 10 * number) for number in range(5)]
    facts = round_throughput(cell, 1, images)
    assert facts["rounds"] == 2 and facts["workers"] == 1
    # rounds 3 and 4: 200 training images and 20 test images at the pace of the bare loops
    limit = 200 / facts["bare_images_per_second"] + 20 / facts["bare_evaluation_per_second"]
    assert facts["share_of_cpu"] == pytest.approx(limit / 2 / facts["cpu_seconds"], rel=0.1, abs=0.001)
    assert facts["busy"] == pytest.approx(facts["cpu_seconds"] / facts["seconds"], rel=0.1, abs=0.01)
    assert facts["memory"] > 100e6  # two processes with torch


def test_too_few_rounds_are_refused(cell: Cell) -> None:
    with pytest.raises(BenchmarkError, match="--rounds 3 are too few to time; take 4 or more"):
        round_throughput(Cell(cell.task, cell.algorithm, rounds=3), 1, [])


def test_a_cell_with_a_tuned_learning_rate(cell: Cell) -> None:
    """As of 109 of the 249 committed tunings."""
    tuned = replace(cell, settings={"train.lr": 0.05}, rounds=4)
    images = time_breakdown(tuned)["images"]
    assert round_throughput(tuned, 1, images)["rounds"] == 1

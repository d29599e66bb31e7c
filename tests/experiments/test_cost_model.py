"""What cells are expected to cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.experiments import cost_model
from benchmark.experiments.cost_model import CostModel
from benchmark.experiments.workload import Work


def test_costs_come_from_measured_seconds(tmp_path: Path) -> None:
    runs = {"a/fedavg/0": (10, 2), "a/fedavg/1": (30, 1), "a/fedntd/0": (60, 1), "b/fedavg/0": (5, 1)}
    for place, (seconds, workers) in runs.items():
        path = tmp_path / f"{place}.run.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"seconds": seconds, "workers": workers}))
    (tmp_path / "a/fedntd/1.run.json").write_text("{")
    known = cost_model.measured(tmp_path)
    # a: fedavg (10 * 2 + 30) / 2 = 25, fedntd 60; b: fedavg 5
    assert known == {("a", "fedavg"): 25, ("a", "fedntd"): 60, ("b", "fedavg"): 5}
    # fedntd costs 60 / 25 = 2.4 of fedavg on a, hence 12 on b. moon, never measured, has the mean effect of the two
    # methods: the geometric mean sqrt(25 * 60) on a.
    model = CostModel(known, {})
    assert model(("a", "fedavg")) == 25
    assert model(("b", "fedntd")) == pytest.approx(12)
    assert model(("a", "moon")) == pytest.approx((25 * 60) ** 0.5)
    assert CostModel({}, {})(("a", "fedavg")) == 1


def test_a_method_is_expected_to_need_its_own_work_at_its_own_pace() -> None:
    known = {("a", "fedavg"): 10.0, ("a", "fedmd"): 60.0, ("b", "fedavg"): 20.0}
    images = {("a", "fedavg"): 100, ("a", "fedmd"): 300, ("b", "fedavg"): 100, ("b", "fedmd"): 9000}
    work = {pair: Work(count, 0) for pair, count in images.items()}
    # on a: 0.1 and 0.2 s an image, so fedmd takes twice as long for one; on b fedavg takes 0.2 s, hence fedmd 0.4 s
    assert CostModel(known, work)(("b", "fedmd")) == pytest.approx(9000 * 0.4)


def test_a_cell_without_work_says_nothing_of_the_pace() -> None:
    """The untrained control trains on no image, and of old nothing is known: fedavg's pace counts, 0.1 s an image."""
    known = {("a", "fedavg"): 10.0, ("a", "untrained"): 3.0, ("a", "old"): 1000.0}
    work = {("a", "fedavg"): Work(100, 0), ("a", "untrained"): Work(0, 0), ("a", "moon"): Work(200, 0)}
    assert CostModel(known, work)(("a", "moon")) == pytest.approx(20)


def test_seconds_of_another_processor_are_scaled_by_cells_that_both_have_run(tmp_path: Path) -> None:
    runs = {"a/fedavg/0": ("new", 10), "a/fedavg/1": ("old", 20), "b/fedavg/0": ("new", 10), "b/fedavg/1": ("old", 80),
            "b/fedntd/0": ("old", 100), "c/fedavg/0": ("odd", 7)}  # fmt: skip
    for place, (cpu, seconds) in runs.items():
        path = tmp_path / f"{place}.run.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        environment = {"cpu": cpu, "instructions": "avx2"}
        path.write_text(json.dumps({"seconds": seconds, "workers": 1, "environment": environment}))
    known = cost_model.measured(tmp_path, here="new avx2")
    # old takes 2 and 8 times as long, 4 times in the geometric mean: fedntd's 100 s are 25 s; odd has no cell in common
    assert known == pytest.approx({("a", "fedavg"): 10, ("b", "fedavg"): 10, ("b", "fedntd"): 25, ("c", "fedavg"): 7})


def test_errors_are_forecasts_without_the_cell_over_what_it_took() -> None:
    known = {("a", "fedavg"): 10.0, ("a", "moon"): 40.0, ("a", "untrained"): 1.0}
    work = {("a", "fedavg"): Work(100, 0), ("a", "moon"): Work(200, 0), ("a", "untrained"): Work(0, 0)}
    # 0.1 s an image for the one and 0.2 s for the other: 100 * 0.2 = 20 s for 10 s, and 200 * 0.1 = 20 s for 40 s
    assert cost_model.errors(known, work) == pytest.approx({("a", "fedavg"): 2.0, ("a", "moon"): 0.5})

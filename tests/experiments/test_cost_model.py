"""What cells are expected to cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.experiments import cost_model
from benchmark.experiments.cost_model import expected
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
    # moon, never measured, takes the mean of a, (25 + 60) / 2, and on c the mean of all, 90 / 3.
    pairs = [("a", "fedavg"), ("a", "moon"), ("c", "moon")]
    assert [expected(pair, known, {}) for pair in pairs] == [25, 42.5, 30]
    # fedntd costs 60 / 42.5 of the mean on a, hence on b and c; fedavg 25 / 42.5 there and all of b's mean
    assert expected(("b", "fedntd"), known, {}) == pytest.approx(5 * 60 / 42.5)
    assert expected(("c", "fedavg"), known, {}) == pytest.approx(30 * (25 / 42.5 + 1) / 2)
    assert expected(("a", "fedavg"), {}, {}) == 1


def test_a_method_is_expected_to_need_its_own_work_at_its_own_pace() -> None:
    known = {("a", "fedavg"): 10.0, ("a", "fedmd"): 60.0, ("b", "fedavg"): 20.0}
    images = {("a", "fedavg"): 100, ("a", "fedmd"): 300, ("b", "fedavg"): 100, ("b", "fedmd"): 9000}
    work = {pair: Work(count, 0) for pair, count in images.items()}
    # on a: 0.1 and 0.2 s an image, 0.15 on average, of which fedmd has 4 / 3; on b 0.2 s, over its 9000 images there
    assert expected(("b", "fedmd"), known, work) == pytest.approx(9000 * 0.2 * 4 / 3)


def test_a_cell_without_work_says_nothing_of_the_pace() -> None:
    """The untrained control trains on no image: fedavg's pace alone counts, 0.1 s an image."""
    known = {("a", "fedavg"): 10.0, ("a", "untrained"): 3.0}
    work = {("a", "fedavg"): Work(100, 0), ("a", "untrained"): Work(0, 0), ("a", "moon"): Work(200, 0)}
    assert expected(("a", "moon"), known, work) == pytest.approx(20)

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


def test_a_method_s_tunings_cost_what_they_did_elsewhere(tmp_path: Path) -> None:
    texts = {
        "a/fedmd/0.run": {"seconds": 100, "workers": 2}, "a/tuning/fedmd": {"points": [{"seconds": 400.0}] * 2},
        "b/fedmd/0.run": {"seconds": 50, "workers": 1}, "b/tuning/fedmd": {"points": [{"seconds": 100.0}]},
        "a/fedavg/0.run": {"seconds": 10, "workers": 1}, "a/tuning/fedavg": {"points": "damaged"},
        "b/tuning/fedavg": {"points": [{"seconds": 15.0}]},
    }  # fmt: skip
    for place, content in texts.items():
        path = tmp_path / f"{place}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    # fedmd: (800 / 200 + 100 / 50) / 2; fedavg has its tuning and its cell on no task
    assert cost_model.tunings(tmp_path) == {"fedmd": 3}


def test_an_unmeasured_task_goes_at_the_pace_of_the_one_whose_images_cost_most_alike() -> None:
    known = {("small", "fedavg"): 10.0, ("large", "fedavg"): 100.0}
    held = {"small": Work(1000, 1e6), "large": Work(1000, 5e7), "new": Work(500, 1e8)}
    # as `large`, 100 s for 1000 images of 50 million operations and 10 more of overhead: half as many of 110 million
    work = {(task, "fedavg"): of_task for task, of_task in held.items()}
    assert expected(("new", "fedavg"), known, work) == pytest.approx(100 * 500 * 110 / (1000 * 60))


def test_a_method_is_expected_to_need_its_own_work_at_its_own_pace() -> None:
    known = {("a", "fedavg"): 10.0, ("a", "fedmd"): 60.0, ("b", "fedavg"): 20.0}
    images = {("a", "fedavg"): 100, ("a", "fedmd"): 300, ("b", "fedavg"): 100, ("b", "fedmd"): 9000}
    work = {pair: Work(count, 0) for pair, count in images.items()}
    # on a: 0.1 and 0.2 s an image, 0.15 on average, of which fedmd has 4 / 3; on b 0.2 s, over its 9000 images there
    assert expected(("b", "fedmd"), known, work) == pytest.approx(9000 * 0.2 * 4 / 3)

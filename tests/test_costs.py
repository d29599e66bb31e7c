"""What cells are expected to cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark import costs
from benchmark.core import task as tasks
from benchmark.costs import Work, expected


def test_costs_come_from_measured_seconds(tmp_path: Path) -> None:
    runs = {"a/fedavg/0": (10, 2), "a/fedavg/1": (30, 1), "a/fedntd/0": (60, 1), "b/fedavg/0": (5, 1)}
    for place, (seconds, workers) in runs.items():
        path = tmp_path / f"{place}.run.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"seconds": seconds, "workers": workers}))
    (tmp_path / "a/fedntd/1.run.json").write_text("{")
    known = costs.measured(tmp_path)
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
    assert costs.tunings(tmp_path) == {"fedmd": 3}


def test_an_unmeasured_task_goes_at_the_pace_of_the_one_whose_images_cost_most_alike() -> None:
    known = {("small", "fedavg"): 10.0, ("large", "fedavg"): 100.0}
    work = {"small": Work(1000, 1e6), "large": Work(1000, 5e7), "new": Work(500, 1e8)}
    # as `large`, 100 s for 1000 images of 50 million operations and 10 more of overhead: half as many of 110 million
    assert expected(("new", "fedavg"), known, work) == pytest.approx(100 * 500 * 110 / (1000 * 60))


def test_work_is_images_and_operations() -> None:
    names = ("digits-shards", "fmnist-shards", "paper-fd-t1-mnist-m10")
    found = costs.work(map(tasks.load, names))
    assert list(found) == list(names[1:])
    # 30 rounds of 5 of 20 clients with 60,000 images; 16 rounds of 10 clients of 250 steps of 64
    assert [work.images for work in found.values()] == [30 * 5 * 3000, 16 * 10 * 250 * 64]
    # cnn_lite on 28 x 28, multiply and add: 9 * 16 * 28^2 + 9 * 16 * 32 * 14^2 + 1568 * 128 + 128 * 10
    assert found[names[1]].each == pytest.approx(2 * (112_896 + 903_168 + 200_704 + 1_280))


def test_few_images_of_several_classes_and_networks_that_take_turns() -> None:
    few, even = tasks.load("paper-fedmd-t4-cifar-iid"), tasks.load("fmnist-shards")
    of_each = few.train.model_copy(update={"steps": None, "epochs": 2})
    # three images of each of six classes; with the same network twice a client costs what it costs with one
    made = [few.model_copy(update={"train": of_each, "networks": ("mlp",)}),
            even.model_copy(update={"networks": even.networks * 2})]  # fmt: skip
    found = costs.work(made)
    assert found[few.name].images == few.rounds * few.cohort * 2 * 3 * 6
    assert found[even.name].each == costs.work([even])[even.name].each

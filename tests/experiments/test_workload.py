"""What the clients of a cell do."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.task import Extra, Task
from benchmark.experiments.workload import Work, Workload


def work(task: Task, method: str = "fedavg") -> Work | None:
    return Workload({task.name: task}).get((task.name, method))


def images(task: Task, method: str = "fedavg") -> float:
    found = work(task, method)
    assert found is not None
    return found.images


def plain(name: str) -> Task:
    """A task without the values that were tuned for its methods."""
    return tasks.load(name).model_copy(update={"tuned": {}})


def test_work_is_images_and_operations() -> None:
    lite = work(tasks.load("fmnist-shards"))
    # 30 rounds of 5 of 20 clients with 60,000 images; 16 rounds of 10 clients of 250 steps of 64
    assert lite is not None and lite.images == 30 * 5 * 3000
    assert images(tasks.load("paper-fd-t1-mnist-m10")) == 16 * 10 * 250 * 64
    # cnn_lite on 28 x 28, multiply and add: 9 * 16 * 28^2 + 9 * 16 * 32 * 14^2 + 1568 * 128 + 128 * 10
    assert lite.each == pytest.approx(2 * (112_896 + 903_168 + 200_704 + 1_280))


def test_few_images_of_several_classes_and_networks_that_take_turns() -> None:
    few, even = tasks.load("paper-fedmd-t4-cifar-iid"), tasks.load("fmnist-shards")
    of_each = few.train.model_copy(update={"steps": None, "epochs": 2})
    mlp = few.model_copy(update={"train": of_each, "networks": ("mlp",)})
    # three images of each of six classes
    assert images(mlp) == few.rounds * few.cohort * 2 * 3 * 6
    # with the same network twice a client costs what it costs with one
    twice = even.model_copy(update={"networks": even.networks * 2})
    one, two = work(even), work(twice)
    assert one and two and one.each == two.each


def test_opening_phases_and_passes_over_public_images_count() -> None:
    # FedMD: once all 20 clients, 20 epochs of 2,000 public images and 25 of 3,000 of their own; in each of 30 rounds 5
    # clients, one epoch of either. Scores of 2,000 images, after all of these, are forward passes: a third of a step.
    scores = 2000 / 3
    expected = 20 * (20 * 2000 + 25 * 3000 + scores) + 30 * 5 * (2000 + 3000 + scores)
    assert images(plain("fmnist-shards"), "fedmd") == pytest.approx(expected)


def test_a_pass_over_drawn_rows_takes_as_many_as_are_drawn() -> None:
    # FedMD on CIFAR, even: once ten parties, 20 epochs of 50,000 public images and 25 of 18 of their own; in each of 20
    # rounds all ten, one epoch of 5,000 drawn images and four of 18. After all 21 visits 5,000 are scored.
    expected = 10 * (20 * 50_000 + 25 * 18) + 20 * 10 * (5_000 + 4 * 18) + 21 * 10 * 5_000 / 3
    assert images(plain("paper-fedmd-t4-cifar-iid"), "fedmd") == pytest.approx(expected)


def test_operations_in_bf16_count_as_the_time_that_they_take() -> None:
    # cnn_fedntd on 32 x 32: 2 * (75 * 32 * 32^2 + 800 * 64 * 16^2 + 4096 * 512 + 512 * 10) = 35.3 million, and 10
    # million for an image itself: in bf16 0.37 * 35.3 + 10 = 23.1 of 45.3, as 5.9 s are of 11.5.
    slow, fast = (work(tasks.load(f"paper-fedntd-t1-cifar10-s2{kind}")) for kind in ("", "-bf16"))
    assert slow and fast and slow.images == fast.images
    assert slow.each == pytest.approx(2 * (75 * 32 * 32**2 + 800 * 64 * 16**2 + 4096 * 512 + 512 * 10))
    assert fast.total / slow.total == pytest.approx(5.9 / 11.5, abs=0.005)


def test_a_pooled_client_has_the_steps_of_a_whole_cohort() -> None:
    # 30 rounds of one epoch over 60,000 images, 5 of 20 clients' share of them, in whole batches of 50
    assert images(plain("fmnist-shards"), "central") == 30 * 60_000 * 5 / 20


def test_a_method_that_does_not_apply_or_is_broken_has_no_work(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("raise OSError")
    without = plain("fmnist-shards").model_copy(update={"public": None})
    assert work(without) and not work(without, "fedmd") and not work(without, str(path))
    assert work(without.model_copy(update={"public": Extra(size=10)}), "fedmd")

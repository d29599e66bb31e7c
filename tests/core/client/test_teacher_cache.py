"""Frozen teachers are asked once per image and round, and what they say has the bits of asking each time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from algorithms.fedntd import FedNTD
from algorithms.moon import Moon
from benchmark.core.api import Algorithm, Batch
from benchmark.core.client.local_trainer import LocalTrainer
from benchmark.core.client.local_training import run_client
from benchmark.core.client.teacher_cache import TeacherCache
from benchmark.core.keys import Key
from benchmark.core.model_output import Output
from benchmark.core.models.functional import Input, Model
from benchmark.core.tree import Tree
from helpers.small_federation import run, small_federation


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Size of each batch that a frozen model is asked about."""
    sizes: list[int] = []
    plain = Model.frozen

    def counting(self: Model, params: Tree, x: Input) -> Output:
        assert isinstance(x, Tensor)
        sizes.append(len(x))
        return plain(self, params, x)

    monkeypatch.setattr(Model, "frozen", counting)
    yield sizes


def visit(algorithm: Algorithm, size: int) -> Tree:
    """Parameters after one client's first round: four epochs in batches of four, ten classes.

    For two or three classes a row's last bits depend on its place in the batch, in MKL's small products.
    """
    federation = small_federation(sizes=(size,), cohort=1, epochs=4, batch=4, classes=10)
    server = algorithm.init_server(federation.hub, Key(0)("server"))
    (phase, *_) = algorithm.phases(1)
    site, who = federation.site(0, phase, 0), federation.who(0)
    memory = algorithm.init_client(site, Key(0)("birth"))
    message = algorithm.download(server, who, phase, Key(0)("download"))
    return run_client(algorithm, site, phase, message, memory, Key(0)("visit"), "fp32").params


def test_four_epochs_ask_for_every_image_once(asked: list[int]) -> None:
    visit(FedNTD(), size=12)
    assert asked == [4, 4, 4]


def test_two_teachers_are_asked_once_each(asked: list[int]) -> None:
    """Moon's previous and received model: 12 images in batches of 4, for either."""
    visit(Moon(newcomer="initial"), size=12)
    assert asked == [4] * 6


def test_short_batches_are_asked_for_each_time(asked: list[int]) -> None:
    """13 images: in each of 4 epochs one is alone; the 12 others are known unless they were alone before."""
    visit(FedNTD(), size=13)
    assert asked.count(1) == 4
    assert 3 <= asked.count(4) < 12


@pytest.mark.parametrize("size", [12, 13])
@pytest.mark.parametrize("method", [FedNTD(), Moon(newcomer="initial")], ids=["fedntd", "moon"])
def test_bits_are_those_of_asking_each_time(method: Algorithm, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    recalled = visit(method, size)
    monkeypatch.setattr(LocalTrainer, "_teachers", lambda self, stream: None)
    asked = visit(method, size)
    assert all(torch.equal(recalled[name], asked[name]) for name in asked)


def test_augmented_images_are_asked_for_each_time(asked: list[int]) -> None:
    run(FedNTD(), small_federation(sizes=(12,), cohort=1, rounds=1, epochs=4, augment={"flip": True}))
    assert asked.count(4) == 12


def test_a_teacher_that_moves_is_asked_again() -> None:
    model = Model("mlp", (1, 4, 4), 3)
    teacher = model.init(Key(0))
    batch = Batch(torch.ones(4, 1, 4, 4), torch.zeros(4, dtype=torch.int64), torch.arange(4))
    teachers = TeacherCache(model, 4, 4)
    for _ in range(4):  # in place, more often than answers are kept
        before = teachers.bind(batch)(teacher, batch.x).logits
        assert torch.equal(before, teachers.bind(batch)(teacher, batch.x).logits)
        for leaf in teacher.values():
            leaf.add_(1)
        after = teachers.bind(batch)(teacher, batch.x).logits
        assert torch.equal(after, model.frozen(teacher, batch.x).logits) and not torch.equal(before, after)


def test_other_images_than_the_batch_s_are_not_looked_up() -> None:
    model = Model("mlp", (1, 4, 4), 3)
    teacher = model.init(Key(0))
    batch = Batch(torch.ones(4, 1, 4, 4), torch.zeros(4, dtype=torch.int64), torch.arange(4))
    frozen = TeacherCache(model, 4, 4).bind(batch)
    frozen(teacher, batch.x)
    assert torch.equal(frozen(teacher, 2 * batch.x).logits, model.frozen(teacher, 2 * batch.x).logits)

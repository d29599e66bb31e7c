"""Tasks on some of a dataset's classes, and FedMD's ten networks on such a task."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from algorithms.fedmd import FedMD
from benchmark.core.client.federation_data import load_federation_data, split
from benchmark.core.data.dataset import Dataset, Split
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.partition_config import Only
from benchmark.core.tasks.task import Task
from helpers.small_federation import run, small_federation

PAPER = ("paper-fedmd-t4-cifar-iid", "paper-fedmd-t4-cifar-noniid")


def zoo() -> Dataset:
    """60 images of six classes in three superclasses: class c belongs to superclass c // 2; pixel = row."""
    labels = np.arange(60) % 6
    rows = Split(np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1), labels, labels // 2)
    names = ("cat", "lion", "carp", "pike", "oak", "elm")
    return Dataset("zoo", rows, rows, names, (0.0,), (1.0,), {}, "made up", ("cats", "fish", "trees"))


def digits(**fields: object) -> Task:
    """`digits-shards` with other fields."""
    base = tasks.load("digits-shards").model_dump(exclude={"tuned"})
    return Task.model_validate({**base, **fields})


def test_some_classes_are_counted_anew_in_the_order_given() -> None:
    some = zoo().only(classes=[4, 1])
    assert some.classes == ("oak", "lion") and some.train.coarse is not None
    rows = some.train.images.ravel()
    assert len(rows) == 20 and set(rows % 6) == {1, 4}
    assert np.array_equal(some.train.labels, np.where(rows % 6 == 4, 0, 1))
    assert np.array_equal(some.train.coarse, rows % 6 // 2)


def test_superclasses_as_labels_keep_the_classes_below() -> None:
    some = zoo().only(superclasses=[2, 0])
    rows = some.train.images.ravel()
    assert some.classes == ("trees", "cats") and some.train.fine is not None
    assert np.array_equal(some.train.fine, rows % 6) and set(rows % 6) == {0, 1, 4, 5}
    assert np.array_equal(some.train.labels, np.where(rows % 6 >= 4, 0, 1))


@pytest.mark.parametrize("held_out", [0, 3])  # rows that are no client's; by three, neighbours differ in superclass
def test_a_party_has_one_class_of_each_superclass_and_all_are_asked_for(held_out: int) -> None:
    how = {"kind": "superclass", "per_class": 3, "superclasses": [0, 1]}
    task = digits(split=how, clients=3, cohort=3, only={"superclasses": [0, 2]})
    data = zoo().only(superclasses=[0, 2])
    parts = split(task, data, np.arange(held_out, 40), Key(0))
    assert data.train.fine is not None
    # client i owns class number i mod 2 of each superclass: cat and oak, lion and elm, cat and oak again
    assert [sorted(set(data.train.fine[part].tolist())) for part in parts] == [[0, 4], [1, 5], [0, 4]]
    assert [np.bincount(data.train.labels[part]).tolist() for part in parts] == [[3, 3]] * 3
    assert set(data.test.labels.tolist()) == {0, 1} and len(data.test.labels) == 40


def test_all_sides_of_a_task_have_its_classes_alone() -> None:
    given = load_federation_data(digits(only={"classes": [7, 1]}, clients=4, public={"size": 20}), 0)
    sides = [given.private, given.validation, given.public, given.test]
    assert given.classes == 2 and len(given.test.rows) == 34 + 44  # as the manifest counts
    for side in sides:
        assert side is not None and set(side.labels[side.rows].tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("only", "words"),
    [
        ({}, "either"), ({"classes": [1], "superclasses": [1]}, "either"), ({"classes": [1, 1]}, "twice"),
        ({"classes": [-1]}, "greater"), ({"class": [1]}, "class"),
    ],
)  # fmt: skip
def test_a_wrong_choice_is_refused(only: dict[str, list[int]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Only.model_validate(only)


@pytest.mark.parametrize(
    ("only", "words"),
    [({"classes": [3, 10]}, "no class 10.*0 to 9"), ({"superclasses": [0]}, "no superclass 0.*cifar100")],
)
def test_classes_that_a_dataset_lacks_are_refused(only: dict[str, list[int]], words: str) -> None:
    with pytest.raises(BenchmarkError, match=words):
        load_federation_data(digits(only=only), 0)


def test_the_field_changes_the_hash_of_tasks_that_have_it_alone() -> None:
    assert "only" not in digits().definition and digits().sha256 == tasks.load("digits-shards").sha256
    assert digits(only={"classes": [1]}).sha256 != digits(only={"classes": [2]}).sha256


@pytest.mark.parametrize("name", PAPER)
def test_fedmd_s_own_setting(name: str) -> None:
    task = tasks.load(name)
    assert task.networks == tuple(f"fedmd_cifar_{party}" for party in range(10)) and task.cohort == task.clients == 10
    assert task.public is not None and task.only is not None
    assert (task.public.dataset, task.public.size, task.public.labels) == ("cifar10", 50_000, "joint")
    assert len(task.only.classes or task.only.superclasses) == 6
    assert task.train.optimiser.name == "adam" and task.train.optimiser.lr == 1e-3


def test_ten_architectures_agree_on_public_images() -> None:
    method = FedMD(draw=6, public_epochs=1, private_epochs=1, digest_batch=6)
    federation = small_federation(
        sizes=(4,) * 10, cohort=10, rounds=1, classes=4, public=8, shape=(3, 12, 12), track="heterogeneous",
        networks=tasks.load(PAPER[0]).networks,
    )  # fmt: skip
    outcome = run(method, federation)
    models = {client: memory["model"] for client, memory in outcome.memories.items()}
    assert len({sum(leaf.numel() for leaf in model.values()) for model in models.values()}) == 10
    # transfer and one round: ten parties, six images, four classes, four bytes each way; 8 bytes name a draw
    assert outcome.result["bytes"]["up"] == 2 * 10 * 6 * 4 * 4
    assert outcome.result["bytes"]["down"] == 2 * 10 * 8 + 10 * 6 * 4 * 4
    assert outcome.server["consensus"].shape == (6, 4) and bool(torch.isfinite(outcome.server["consensus"]).all())
    public, draw = federation.public, outcome.server["draw"]
    assert public is not None
    rows = method.rows(draw, public.size)
    scores = [
        federation.model(federation.who(client).arch).frozen(model, public.inputs(rows)).logits
        for client, model in models.items()
    ]
    assert torch.allclose(torch.stack(scores).mean(0), outcome.server["consensus"], atol=1e-4)

"""The information barrier: whatever a client or the server can get hold of leads to its own images alone."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from algorithms.fedavg import FedAvg
from benchmark.core.api import Phase
from benchmark.core.client.federation import Federation
from benchmark.core.client.federation_data import FederationData, IndexedImages
from benchmark.core.data.lazy_partition import Drawn
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.tasks.partition_config import Iid
from benchmark.core.tasks.task import AugmentSpec, Optimiser, Task, Train
from helpers.small_federation import small_federation

PHASE = Phase("train", 1)
SIDES = {"private": range(0, 40), "public": range(40, 50), "validation": range(50, 60), "test": range(60, 80)}
CUTS = [range(0, 10), range(10, 25), range(25, 40)]  # the rows of three clients


def federation(track: str = "global", **changes: Any) -> Federation:
    """All sides are cut from one array, as datasets are; pixel (0, 0) of an image is its row."""
    images = Key(0)("barrier").numpy().integers(0, 256, (80, 4, 4, 1), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(80)
    images.flags.writeable = False
    labels = np.arange(80) % 3
    sides = {name: IndexedImages(images, labels, np.array(rows)) for name, rows in SIDES.items()}
    parts = [np.array(cut) for cut in CUTS]
    data = FederationData(**sides, parts=parts, shape=(1, 4, 4), classes=3, mean=(0.0,), std=(1.0,))
    probe = {"probe": {"epochs": 1}} if track == "unsupervised" else {}
    fields: dict[str, Any] = {
        "name": "barrier", "track": track, "tier": "quick", "dataset": "noise", "split": Iid(kind="iid"), "clients": 3,
        "cohort": 2, "rounds": 4, "networks": ("mlp", "mlp_wide"), "train": Train(batch=4, optimiser=Optimiser(lr=0.1)),
    }  # fmt: skip
    task = Task(**fields, **probe)
    return Federation(task.model_copy(update=changes), 0, data)


def neighbours(thing: Any) -> Iterator[Any]:
    """What an object leads to: attributes, items, what a function is bound to or closes over, the base of a view."""
    if isinstance(thing, torch.Tensor | nn.Module | str | bytes | int | float | type(None)):
        return
    if isinstance(thing, np.ndarray):
        yield thing.base
        return
    if isinstance(thing, Mapping):
        yield from (*thing.keys(), *thing.values())
    elif isinstance(thing, Sequence | set | frozenset):
        yield from thing
    if isinstance(thing, functools.partial):
        yield from (thing.func, thing.args, thing.keywords)
    yield getattr(thing, "__self__", None)
    yield from (cell.cell_contents for cell in getattr(thing, "__closure__", None) or ())
    yield from vars(thing).values() if hasattr(thing, "__dict__") and not isinstance(thing, type) else ()


def reachable(start: Any, depth: int = 8) -> set[int]:
    """Rows of the one array of images whose pixels can be reached from an object."""
    seen, edge, images = {id(start): start}, [start], set()
    for _ in range(depth):
        edge = [item for thing in edge for item in neighbours(thing) if id(item) not in seen]
        seen |= {id(item): item for item in edge}
    for thing in seen.values():
        if isinstance(thing, torch.Tensor | np.ndarray) and thing.shape[1:] == (4, 4, 1):
            images |= {int(image[0, 0, 0]) for image in thing}
    assert not any(isinstance(thing, Federation | FederationData | IndexedImages) for thing in seen.values())
    return images


@pytest.mark.parametrize("track", ["global", "unsupervised"])
@pytest.mark.parametrize("client", range(3))
def test_a_client_reaches_its_own_and_the_public_images(client: int, track: str) -> None:
    site = federation(track).site(client, PHASE, 0)
    assert reachable(site) == {*CUTS[client], *SIDES["public"]}
    list(site.data.batches(Key(0), 4, 3))
    assert reachable(site) == {*CUTS[client], *SIDES["public"]}  # nor afterwards


def test_the_server_reaches_no_private_and_no_test_image() -> None:
    hub = federation().hub
    assert reachable(hub) == {*SIDES["public"], *SIDES["validation"]}
    assert [who.size for who in hub.whos] == [10, 15, 15] and hub.whos[1].arch == "mlp_wide"


def test_what_is_reachable_shares_no_memory_with_the_dataset() -> None:
    one = federation()
    before = one.data.private.images.copy()
    for side in (one.site(0, PHASE, 0).data, one.hub.public, one.hub.validation):
        assert side is not None
        side.pixels.zero_()
        side.labels.zero_()
    assert np.array_equal(one.data.private.images, before) and one.data.private.labels[:4].tolist() == [0, 1, 2, 0]


def test_labels_are_struck_out_where_a_track_learns_without_them() -> None:
    one = federation("unsupervised")
    data, unlabelled = one.site(1, PHASE, 0).data, one.hub.unlabelled
    assert unlabelled is not None and set(data.labels.tolist()) == set(unlabelled.labels.tolist()) == {-1}
    assert one.all_client_data.labels.tolist() == [row % 3 for row in range(40)]  # for the probe of the evaluator


def test_the_server_s_unlabelled_images_fall_back_on_the_public_ones() -> None:
    unlabelled = federation().hub.unlabelled
    assert unlabelled is not None and unlabelled.pixels[:, 0, 0, 0].tolist() == list(SIDES["public"])


def test_networks_by_name_are_the_same_for_everyone() -> None:
    one = federation()
    site, hub = one.site(0, PHASE, 0), one.hub
    assert site.network("cnn_lite") is hub.network("cnn_lite") is one.network("cnn_lite")
    assert site.model is hub.models["mlp"]


def test_a_rate_falls_with_the_round_of_the_phase() -> None:
    train = Train(batch=4, optimiser=Optimiser(lr=0.4, decay=0.5))
    assert [federation(train=train).site(0, PHASE, round_).lr for round_ in range(3)] == [0.4, 0.2, 0.1]


def test_a_cosine_spans_the_task_s_rounds_and_the_server_sees_it_too() -> None:
    one = federation(train=Train(batch=4, optimiser=Optimiser(lr=0.4, schedule="cosine")))  # 4 rounds
    rates = [0.4, 0.4 * 0.853553391, 0.2, 0.4 * 0.146446609]  # 0.4 (1 + cos(t pi / 4)) / 2
    assert [one.site(0, PHASE, round_).lr for round_ in range(4)] == pytest.approx(rates, rel=1e-8)
    assert one.hub.train.optim == one.site(0, PHASE, 0).train.optim
    assert [one.hub.train.optim.rate(round_) for round_ in range(4)] == pytest.approx(rates, rel=1e-8)


def test_cohorts_are_sorted_different_and_keyed_by_round() -> None:
    one = federation()
    cohorts = [one.cohort(round_) for round_ in range(30)]
    assert all(len(set(cohort)) == 2 and cohort == sorted(cohort) for cohort in cohorts)
    assert len({tuple(cohort) for cohort in cohorts}) == 3  # all pairs of three clients
    assert cohorts == [federation().cohort(round_) for round_ in range(30)]


def test_cohorts_and_births_differ_by_seed_and_births_by_client() -> None:
    one = federation()
    other = Federation(one.task, 1, one.data)
    assert [one.cohort(round_) for round_ in range(30)] != [other.cohort(round_) for round_ in range(30)]
    assert len({side.client_init_key(client).seed for side in (one, other) for client in range(3)}) == 6


def test_only_what_trains_is_augmented() -> None:
    one = federation(augment=AugmentSpec(crop=2))
    assert one.hub.validation is not None
    for stream, augmented in ((one.site(0, PHASE, 0).data, True), (one.hub.validation, False), (one.test, False)):
        batches = list(stream.batches(Key(0), 4, 2))
        assert any(not torch.equal(batch.x, stream.inputs(batch.rows)) for batch in batches) == augmented


def test_published_cohorts_are_those_of_the_published_draw() -> None:
    expected = [sorted(np.random.RandomState(round_).choice(3, 2, replace=False).tolist()) for round_ in range(5)]
    assert [federation(draws="published").cohort(round_) for round_ in range(5)] == expected


def test_pooled_data_belong_to_one_client_per_architecture() -> None:
    one = federation(networks=("mlp", "mlp_wide", "mlp"))
    pooled = Federation(one.task, 0, one.data, pooled=True)
    assert [(who.arch, who.size) for who in pooled.hub.whos] == [("mlp", 40), ("mlp_wide", 40)]
    assert (pooled.clients, pooled.cohort(3), pooled.all_client_data.size) == (2, [0, 1], 40)
    for client in range(2):
        assert reachable(pooled.site(client, PHASE, 0)) == {*SIDES["private"], *SIDES["public"]}


def test_a_million_clients_cost_nothing() -> None:
    one = federation(clients=10**6)
    data = replace(one.data, parts=Drawn(np.arange(40), 10**6, 5, Key(0)))
    many = Federation(one.task.model_copy(update={"clients": 10**6}), 0, data)
    assert len(many.hub.whos) == 10**6 and many.hub.whos[999_999].size == 5
    assert many.site(123_456, PHASE, 0).data.size == 5 and len(many.cohort(0)) == 2
    with pytest.raises(IndexError):
        many.hub.whos[10**6]


def test_all_methods_see_one_federation() -> None:
    one = federation()
    other = Federation(one.task, 0, one.data, FedAvg.pooled, FedAvg().network)
    assert [one.cohort(r) for r in range(9)] == [other.cohort(r) for r in range(9)]
    assert one.client_init_key(2) == other.client_init_key(2)


@pytest.mark.parametrize(("sizes", "batch"), [((8, 8, 2, 1), 4), ((8, 8, 8, 8), 1)])
def test_a_client_that_batchnorm_teaches_nothing_is_refused(sizes: tuple[int, ...], batch: int) -> None:
    """The last client has the second network; without BatchNorm one image is a batch like any other."""
    small_federation(sizes=sizes, batch=batch, networks=("mlp", "mlp_wide"))
    small_federation(sizes=sizes[::-1], batch=4, networks=("mlp", "mlp_bn"))
    with pytest.raises(BenchmarkError, match="mlp_bn has BatchNorm"):
        small_federation(sizes=sizes, batch=batch, networks=("mlp", "mlp_bn"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"crop": 4}, "augment.crop 4 may leave nothing of 4x6 images; choose at most 3"),
        ({"crop": 5, "pad": "reflect"}, "augment.crop 5 may leave nothing"),
        ({"cutout": 8}, "augment.cutout 8 may leave nothing of 4x6 images; choose at most 7"),
    ],
)
def test_augmentation_that_leaves_nothing_is_refused_before_training(fields: dict[str, Any], words: str) -> None:
    small_federation(shape=(1, 4, 6), augment=AugmentSpec(crop=3, pad="reflect", cutout=7))
    with pytest.raises(BenchmarkError, match=words):
        small_federation(shape=(1, 4, 6), augment=AugmentSpec(**fields))

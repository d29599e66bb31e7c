"""From a task's datasets to its sides: no image serves two of them, and each has the labels that the task promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmark.core import method_files
from benchmark.core.client import federation_data
from benchmark.core.client.federation import Federation
from benchmark.core.client.federation_data import FederationData, IndexedImages, load_federation_data, split_tables
from benchmark.core.data.dataset import Dataset, Split
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.task import Task


def handmade(name: str, classes: int, train: range, test: range) -> Dataset:
    """Images of one pixel, which is their number; label: number mod classes."""

    def part(numbers: range) -> Split:
        pixels = np.array(numbers, np.uint8)
        return Split(pixels.reshape(-1, 1, 1, 1), pixels.astype(np.int64) % classes, None)

    return Dataset(name, part(train), part(test), tuple("abc"[:classes]), (0.0,), (1.0,), {}, "made up")


HOME = handmade("home", 3, range(0, 120), range(120, 150))
AWAY = handmade("away", 2, range(150, 190), range(190, 200))


@pytest.fixture(autouse=True)
def _two_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"home": HOME, "away": AWAY}
    monkeypatch.setattr(federation_data, "load", lambda name, verify=True: known[name])


def task(**fields: Any) -> Task:
    """`digits-shards` on the dataset home, for four clients, with other fields."""
    base = tasks.load("digits-shards").model_dump(exclude={"tuned"})
    own = {"dataset": "home", "clients": 4, "cohort": 2, "validation": 0.0, "public": None, "split": {"kind": "iid"}}
    return Task.model_validate({**base, **own, **fields})


def numbers(rows: IndexedImages | None) -> list[int]:
    """Pixels of one side: which images it has."""
    assert rows is not None
    return rows.images[rows.rows].ravel().tolist()


def client_images(data: FederationData) -> list[list[int]]:
    """Which images each client has."""
    return [data.private.images[part].ravel().tolist() for part in data.parts]


@pytest.mark.parametrize("split", [{"kind": "iid"}, {"kind": "drawn", "per_client": 30}], ids=lambda how: how["kind"])
def test_no_image_serves_two_sides(split: dict[str, Any]) -> None:
    # Of 120 images, 40 per class, validation takes a tenth: 4 per class. 108 are left, 36 per class, of which the
    # public part takes 24: 8 per class; of the 84 then left, 28 per class, 12 have hidden labels: 4 per class.
    data = load_federation_data(task(validation=0.1, public={"size": 24}, unlabelled={"size": 12}, split=split), 0)
    aside = {"validation": data.validation, "public": data.public, "unlabelled": data.unlabelled}
    for rows, size in zip(aside.values(), (12, 24, 12), strict=True):
        assert np.bincount(np.array(numbers(rows)) % 3).tolist() == [size // 3] * 3
        assert rows is not None and rows.labels[rows.rows].tolist() == [number % 3 for number in numbers(rows)]
    apart = [number for rows in aside.values() for number in numbers(rows)]
    assert len(set(apart)) == 12 + 24 + 12
    left = set(range(120)) - set(apart)
    assert set(numbers(data.private)) == left and sorted(numbers(data.test)) == list(range(120, 150))
    assert {number for client in client_images(data) for number in client} <= left
    owned = sorted(number for client in client_images(data) for number in client)
    assert split["kind"] == "drawn" or owned == sorted(left)


@pytest.mark.parametrize(("labels", "offset", "classes"), [("own", 0, 3), ("none", 0, 3), ("joint", 3, 5)])
def test_public_images_of_another_dataset_take_nothing_from_the_clients(labels: str, offset: int, classes: int) -> None:
    data = load_federation_data(task(public={"dataset": "away", "size": 15, "labels": labels}), 0)
    public = numbers(data.public)
    assert len(set(public)) == 15 and set(public) <= set(range(150, 190))  # of its training images
    assert data.public is not None and data.classes == classes  # joint: its two after the three of home
    assert data.public.labels[data.public.rows].tolist() == [offset + number % 2 for number in public]
    assert sorted(number for client in client_images(data) for number in client) == list(range(120))


def test_every_side_is_drawn_anew_for_each_seed() -> None:
    one = task(validation=0.1, public={"size": 24})
    first, again, other = (load_federation_data(one, seed) for seed in (0, 0, 1))
    for side in (client_images, lambda data: numbers(data.validation), lambda data: numbers(data.public)):
        assert side(first) == side(again) != side(other)


def test_a_split_table_is_that_of_its_seed() -> None:
    one = task(split={"kind": "dirichlet", "alpha": 1.0, "minimum": 1}, seeds=[0, 1, 2])
    for seed, table in split_tables(one).items():
        counts = [
            np.bincount(np.array(client) % 3, minlength=3).tolist()
            for client in client_images(load_federation_data(one, int(seed)))
        ]
        assert [client["counts"] for client in table["clients"]] == counts
    assert len({table["sha256"] for table in split_tables(one).values()}) == 3


def drawn(setting: Task, seed: int = 0, method: str = "fedavg") -> tuple[Any, Any, Any]:
    """What a run of a task draws: its split, its cohorts, its initial weights."""
    algorithm = method_files.make(method)
    one = Federation(setting, seed, load_federation_data(setting, seed), algorithm.pooled, algorithm.network)
    cohorts = [one.cohort(round_) for round_ in range(20)]
    weights = algorithm.init_server(one.hub, one.key("server"))["models"]["mlp"]["classifier.weight"]
    return client_images(one.data), cohorts, weights.tolist()


def test_tasks_of_protocol_2_are_independent_draws_and_those_of_protocol_1_share_a_seed_s() -> None:
    first, second = (drawn(task(protocol=1, name=name)) for name in ("one", "other"))
    assert first == second
    ruled, renamed = (drawn(task(protocol=2, name=name)) for name in ("one", "other"))
    for before, one, other in zip(first, ruled, renamed, strict=True):
        assert before != one != other != before
    assert drawn(task(protocol=2, name="one"), seed=1)[0] != ruled[0]


def test_methods_of_one_task_and_seed_stay_paired_under_protocol_2() -> None:
    setting = task(protocol=2, name="one")
    assert drawn(setting) == drawn(setting, method="fedntd") == drawn(setting.at_rate(0.3), method="scaffold")


@pytest.mark.parametrize(("protocol", "size"), [(2, 10), (2, 11), (2, 25), (1, 24)])
def test_protocol_2_has_as_many_public_images_as_a_task_asks_for(protocol: int, size: int) -> None:
    data = load_federation_data(task(protocol=protocol, public={"size": size}), 0)
    assert len(numbers(data.public)) == size and len(numbers(data.private)) == 120 - size

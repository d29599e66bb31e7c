"""The images of a federation: a task's datasets, divided into validation, public and clients' images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.core.data import dirichlet_partition, partition, partition_table
from benchmark.core.data.dataset import Dataset
from benchmark.core.data.flwr_partitions import flwr_partition
from benchmark.core.data.lazy_partition import Drawn
from benchmark.core.data.loading import load
from benchmark.core.data.registered_data import registered_partition
from benchmark.core.data.row_assignment import take
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.tasks.task import Extra, Task
from benchmark.core.tree import Tree


@dataclass(frozen=True)
class IndexedImages:
    """Images and the rows of them that one side may use.

    Attributes:
        images: Stored images (n, height, width, channels), uint8, or float32 inputs of replays.
        labels: Labels (n,).
        rows: Row numbers (m,), int64.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class FederationData:
    """The data of a federation; `load_federation_data` reads it for a task, replays bring their own.

    Attributes:
        private: Images of all clients.
        parts: Rows of each client.
        test: Images that models are judged on.
        shape: (channels, height, width) of an image.
        classes: Number of classes, with those that joint public labels append.
        mean: Mean of each channel, of pixels in [0, 1].
        std: Standard deviation of each channel.
        public: The task's public images.
        unlabelled: The task's unlabelled images.
        validation: Images held out of the training set.
        cohorts: Clients of each sampled round [rounds, K]; None draws them by key.
        initial: Initial parameters by architecture; None draws them by key.
        order: "shuffled" in each epoch, or "stored".
        test_domains: Test images of each domain, which follow one another; () where clients have no domains.
    """

    private: IndexedImages
    parts: Sequence[np.ndarray]
    test: IndexedImages
    shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    public: IndexedImages | None = None
    unlabelled: IndexedImages | None = None
    validation: IndexedImages | None = None
    cohorts: np.ndarray | None = None
    initial: Mapping[str, Tree] | None = None
    order: str = "shuffled"
    test_domains: tuple[int, ...] = ()


def load_federation_data(task: Task, seed: int, verify: bool = True) -> FederationData:
    """Load the task's datasets, and draw validation, public and clients' images by keys of the seed.

    Args:
        task: The task.
        seed: The seed.
        verify: Whether to hash all cached bytes; workers of a process that has done so need not.

    Raises:
        BenchmarkError: If a dataset is missing or damaged, or cannot be divided as the task asks.
    """
    dataset = _load_dataset(task, verify)
    key = task.key(seed)("split")
    labels = dataset.train.labels
    rest, held_out = np.arange(len(labels)), np.arange(0)
    if task.validation:
        rest, held_out = partition.hold_out(labels, task.validation, key("validation"))
    classes = len(dataset.classes)
    extras: dict[str, IndexedImages | None] = {"public": None, "unlabelled": None}
    for name in extras:
        extra: Extra | None = getattr(task, name)
        if extra is not None and extra.dataset in (None, task.dataset):
            rest, extras[name] = _own_images(dataset, rest, extra.size, key(name), task.protocol)
        elif extra is not None:
            other = load(task.located(str(extra.dataset)), verify)
            extras[name] = _other_images(dataset, other, extra, classes, key(name))
    if task.public is not None and task.public.dataset is not None and task.public.labels == "joint":
        classes += len(load(task.located(task.public.dataset), verify=False).classes)
    validation = IndexedImages(dataset.train.images, labels, held_out)
    test_rows, test_domains = _test_rows(task, dataset)
    test = IndexedImages(dataset.test.images, dataset.test.labels, test_rows)
    return FederationData(
        private=IndexedImages(dataset.train.images, labels, rest),
        parts=split(task, dataset, rest, key("clients")),
        test=test if task.judge == "test" else validation,
        shape=dataset.shape,
        classes=classes,
        mean=dataset.mean,
        std=dataset.std,
        public=extras["public"],
        unlabelled=extras["unlabelled"],
        validation=validation if task.validation else None,
        test_domains=test_domains if task.judge == "test" else (),
    )


def _test_rows(task: Task, dataset: Dataset) -> tuple[np.ndarray, tuple[int, ...]]:
    """Rows of the test set and number of rows of each domain, domain after domain where clients have domains."""
    domains = dataset.test.domains
    if task.split.kind != "domain" or domains is None:
        return np.arange(len(dataset.test.labels)), ()
    counts = np.bincount(domains, minlength=len(dataset.domains))
    return np.argsort(domains, kind="stable"), tuple(counts.tolist())


def _load_dataset(task: Task, verify: bool = True) -> Dataset:
    dataset = load(task.located(task.dataset), verify)
    return dataset.only(task.only.classes, task.only.superclasses) if task.only else dataset


def _own_images(
    dataset: Dataset, rest: np.ndarray, size: int, key: Key, protocol: int
) -> tuple[np.ndarray, IndexedImages]:
    """Rows that remain, and training images that are taken away from them; protocol 1 rounds within classes."""
    if size >= len(rest):
        raise BenchmarkError(f"{size} public images of {len(rest)} training images", hint="ask for fewer")
    labels = dataset.train.labels[rest]
    exact = protocol > 1
    remaining, taken = take(labels, size, key) if exact else partition.hold_out(labels, size / len(rest), key)
    return rest[remaining], IndexedImages(dataset.train.images, dataset.train.labels, rest[taken])


def _other_images(dataset: Dataset, other: Dataset, extra: Extra, offset: int, key: Key) -> IndexedImages:
    """Training images of another dataset; joint labels begin at the offset."""
    if other.shape != dataset.shape:
        message = f"{other.name} has shape {other.shape}, {dataset.name} {dataset.shape}"
        raise BenchmarkError(message, hint="use equal shapes")
    if extra.size > len(other.train.labels):
        raise BenchmarkError(f"{extra.size} images of {len(other.train.labels)} in {other.name}", hint="ask for fewer")
    labels = other.train.labels + (offset if extra.labels == "joint" else 0)
    return IndexedImages(other.train.images, labels, key.choice(len(labels), extra.size))


def split(task: Task, dataset: Dataset, rest: np.ndarray, key: Key) -> Sequence[np.ndarray]:
    """Rows of each client.

    Args:
        task: The task, whose field `split` says how.
        dataset: The task's dataset.
        rest: Rows of the training set that are left for clients.
        key: What the partition is drawn by.
    """
    labels, how, clients = dataset.train.labels[rest], task.split, task.clients
    match how.kind:
        case "drawn":
            return Drawn(rest, clients, how.per_client, key)
        case "iid":
            parts = partition.iid(labels, clients, key)
        case "shards":
            parts = partition.shards(labels, clients, how.shards, key, how.draws)
        case "dirichlet":
            parts = dirichlet_partition.dirichlet(labels, clients, how.alpha, how.minimum, key, how.capped)
        case "dirichlet_equal":
            parts = dirichlet_partition.dirichlet_equal(labels, clients, how.alpha, key)
        case "dirichlet_sampled":
            parts = dirichlet_partition.dirichlet_sampled(labels, clients, how.alpha, how.most, how.minimum, key)
        case "labels_removed":
            parts = partition.labels_removed(labels, clients, how.per_client, how.targets, how.keep, key)
        case "few_per_class":
            parts = partition.few_per_class(labels, clients, how.classes, how.per_class, key)
        case "superclass":
            if dataset.train.coarse is None:
                raise BenchmarkError(f"{dataset.name} has no superclasses", where=task.name, hint="use cifar100")
            fine = labels if dataset.train.fine is None else dataset.train.fine[rest]
            coarse = dataset.train.coarse[rest]
            parts = partition.superclass(fine, coarse, clients, how.per_class, how.superclasses, key)
        case "natural":
            if dataset.train.owners is None:
                hint = "name the column or folder in the dataset file: `owner`"
                raise BenchmarkError(f"{dataset.name} names no owners", where=task.name, hint=hint)
            parts = partition.natural(dataset.train.owners[rest], clients, how.minimum, key)
        case "domain":
            if dataset.train.domains is None:
                hint = "name the column or folder in the dataset file: `domain`"
                raise BenchmarkError(f"{dataset.name} names no domains", where=task.name, hint=hint)
            domains = dataset.train.domains[rest]
            parts = partition.by_domain(domains, labels, clients, how.alpha, how.minimum, key)
        case "flwr":
            names = {"owner": dataset.train.owners, "domain": dataset.train.domains}
            columns = {name: values[rest] for name, values in names.items() if values is not None}
            parts = flwr_partition(how.partitioner, how.options, {"label": labels} | columns, clients, key)
        case "registered":
            parts = registered_partition(how.name, how.options, labels, clients, key)
    return [rest[part] for part in parts]


def split_tables(task: Task) -> dict[str, Any]:
    """Class counts of every client and a fingerprint of all rows, by seed of the task."""
    dataset = _load_dataset(task)
    tables = {}
    for seed in task.seeds:
        parts = load_federation_data(task, seed, verify=False).parts
        tables[str(seed)] = partition_table.split_table(parts, dataset.train.labels, dataset.classes)
    return tables

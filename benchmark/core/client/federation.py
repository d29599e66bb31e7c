"""A task with its data in hand: gives every client its Site, the server its Hub and the evaluator its test set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import torch

from benchmark.core.api import Algorithm, Hub, Optim, Phase, Site, Training, Who
from benchmark.core.data import partition
from benchmark.core.data.augment import Augment
from benchmark.core.data.batches import Stream
from benchmark.core.data.dataset import Dataset
from benchmark.core.data.loading import load
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.models.functional import Model
from benchmark.core.tasks.task import Extra, Task
from benchmark.core.tree import Tree


@dataclass(frozen=True)
class Rows:
    """Images (n, h, w, c) and labels (n,) of one side, and which of them it may use."""

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Ingredients:
    """What a federation is made of; `gather` takes it from a task, replays bring their own.

    private: images and labels of all clients; parts: rows of each client
    cohorts: who takes part in each sampled round; None draws by key
    initial: parameters to start from, by architecture; None draws by key
    """

    private: Rows
    parts: Sequence[np.ndarray]
    test: Rows
    shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    public: Rows | None = None
    unlabelled: Rows | None = None
    validation: Rows | None = None
    cohorts: np.ndarray | None = None
    initial: Mapping[str, Tree] | None = None
    order: str = "shuffled"


class Federation:
    """Everything that a run of one task and seed draws on, behind the information barrier."""

    def __init__(
        self, task: Task, seed: int, ingredients: Ingredients, pooled: bool = False,
        network: Callable[[str], str] = str,
    ) -> None:  # fmt: skip
        self.task, self.key, self.given = task, Key(seed), ingredients
        self.pooled, self.network = pooled, network
        networks = tuple(dict.fromkeys(task.networks)) if pooled else task.networks
        self.parts = [np.sort(np.concatenate(ingredients.parts))] * len(networks) if pooled else ingredients.parts
        self.clients = len(self.parts)
        self.whos = _Whos(networks, partition.sizes(self.parts))
        self.cohort_size = self.clients if pooled else task.cohort
        train = task.train
        optim = Optim(**train.optimiser.model_dump())
        self.train = Training(train.epochs, train.batch, train.steps, optim)
        self.augment = Augment(**task.augment.model_dump())
        self._refuse_single_images()

    @classmethod
    def open(cls, task: Task, seed: int, algorithm: Algorithm, verify: bool = True) -> Federation:
        """Load what the task names; verify=False trusts the cache (workers of a process that has verified it)."""
        return cls(task, seed, gather(task, seed, verify), algorithm.pooled, algorithm.network)

    def model(self, arch: str) -> Model:
        """The network that the method uses for an architecture of the task."""
        return self.named(self.network(arch))

    def named(self, arch: str) -> Model:
        """The network of a name; built once per process."""
        return self._networks(arch)

    def _refuse_single_images(self) -> None:
        """BatchNorm has no variance over one image: such a client would never take a step."""
        for first, arch in enumerate(self.whos.networks):
            sizes = self.whos.sizes[first :: len(self.whos.networks)]
            if (self.train.batch == 1 or 1 in sizes) and self.model(arch).buffers:
                message = f"{arch} has BatchNorm, which learns nothing from one image at a time"
                raise BenchmarkError(message, where=self.task.name, hint="batches and clients need two or more")

    @cached_property
    def _networks(self) -> Callable[[str], Model]:
        """For sites and the hub, hence no method of this object: it would lead to everyone's data."""
        return partial(_network, self.given.initial or {}, self.given.shape, self.given.classes)

    def who(self, client: int) -> Who:
        """What the server knows of a client."""
        who: Who = self.whos[client]
        return who

    def birth(self, client: int) -> Key:
        """Key of a client's first memory, whenever it first takes part."""
        return self.key("client", client, "init")

    def site(self, client: int, phase: Phase, round_: int) -> Site:
        """What one client sees in a round, counted from 0 within the phase."""
        who = self.who(client)
        share = self.task.cohort / self.task.clients
        return Site(
            who=who, model=self.model(who.arch), data=self.private(client), public=self.public,
            classes=self.given.classes, train=self.train, share=share,
            cohort=self.task.cohort, lr=self.train.optim.rate(round_), network=self._networks,
        )  # fmt: skip

    def private(self, client: int) -> Stream:
        """A client's own data; without labels on the track that learns without them."""
        own = Rows(self.given.private.images, self.given.private.labels, self.parts[client])
        return self._stream(own, hidden=self.task.track == "unsupervised")

    @cached_property
    def public(self) -> Stream | None:
        """The public images of the task."""
        return self._stream(self.given.public) if self.given.public else None

    @cached_property
    def hub(self) -> Hub:
        """What the server sees."""
        given, unlabelled = self.given, self.given.unlabelled or self.given.public
        return Hub(
            models={arch: self.model(arch) for arch in dict.fromkeys(self.task.networks)},
            whos=self.whos,
            public=self.public,
            unlabelled=self._stream(unlabelled, hidden=True) if unlabelled else None,
            validation=self._stream(given.validation, plain=True) if given.validation else None,
            classes=given.classes,
            cohort=self.cohort_size,
            train=self.train,
            network=self._networks,
        )

    @cached_property
    def test(self) -> Stream:
        """The test set: for the evaluator alone."""
        return self._stream(self.given.test, plain=True)

    @cached_property
    def union(self) -> Stream:
        """All clients' data with labels: for the evaluator alone."""
        private, parts = self.given.private, self.given.parts
        return self._stream(Rows(private.images, private.labels, np.sort(np.concatenate(parts))), plain=True)

    def cohort(self, round_: int) -> list[int]:
        """Clients of a sampled round, counted from 0 over all sampled rounds of the run."""
        if self.pooled:
            return list(range(self.clients))
        if self.given.cohorts is not None:
            return [int(client) for client in self.given.cohorts[round_]]
        if self.task.draws == "published":
            draw = np.random.RandomState(round_)
            return sorted(int(c) for c in draw.choice(self.clients, self.cohort_size, replace=False))
        return [int(client) for client in self.key("cohort", round_).choice(self.clients, self.cohort_size)]

    def _stream(self, part: Rows, plain: bool = False, hidden: bool = False) -> Stream:
        """A stream that holds its own rows alone; hidden: labels are struck out, so that no method can use them."""
        given, labels = self.given, part.labels[part.rows].astype(np.int64)
        return Stream(
            torch.from_numpy(np.ascontiguousarray(part.images[part.rows])),
            torch.from_numpy(np.full_like(labels, -1) if hidden else labels),
            classes=given.classes, mean=given.mean, std=given.std,
            augment=None if plain else self.augment, order=given.order,
        )  # fmt: skip


class _Whos(Sequence[Who]):
    """Every client's Who, made when asked for: a million clients cost nothing. Client i has networks[i mod len]."""

    def __init__(self, networks: Sequence[str], sizes: np.ndarray) -> None:
        self.networks, self.sizes = networks, sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, client: Any) -> Any:
        if isinstance(client, slice):
            return [self[i] for i in range(*client.indices(len(self)))]
        if not 0 <= client < len(self):
            raise IndexError(client)
        return Who(client, self.networks[client % len(self.networks)], int(self.sizes[client]))


@lru_cache(maxsize=64)
def _model(arch: str, shape: tuple[int, int, int], classes: int) -> Model:
    return Model(arch, shape, classes)


def _network(initial: Mapping[str, Tree], shape: tuple[int, int, int], classes: int, arch: str) -> Model:
    return Model(arch, shape, classes, initial[arch]) if arch in initial else _model(arch, shape, classes)


def gather(task: Task, seed: int, verify: bool = True) -> Ingredients:
    """Load the task's datasets and cut validation, public part and clients, all by keys of the seed."""
    data = _data(task, verify)
    key = Key(seed)("split")
    labels = data.train.labels
    rest, held = np.arange(len(labels)), np.arange(0)
    if task.validation:
        rest, held = partition.hold_out(labels, task.validation, key("validation"))
    classes = len(data.classes)
    extras: dict[str, Rows | None] = {}
    for name in ("public", "unlabelled"):
        extra: Extra | None = getattr(task, name)
        extras[name] = None
        if extra is not None and extra.dataset in (None, task.dataset):
            rest, part = _cut(data, rest, extra.size, key(name))
            extras[name] = part
        elif extra is not None:
            extras[name] = _other(data, extra, classes, key(name), verify)
    joint = task.public is not None and task.public.dataset is not None and task.public.labels == "joint"
    if joint:
        classes += len(load(str(task.public.dataset), verify=False).classes)  # type: ignore[union-attr]
    private, validation = Rows(data.train.images, labels, rest), Rows(data.train.images, labels, held)
    test = Rows(data.test.images, data.test.labels, np.arange(len(data.test.labels)))
    return Ingredients(
        private=private, parts=split(task, data, rest, key("clients")),
        test=test if task.judge == "test" else validation,
        shape=data.shape, classes=classes, mean=data.mean, std=data.std,
        validation=validation if task.validation else None,
        public=extras["public"], unlabelled=extras["unlabelled"],
    )  # fmt: skip


def _data(task: Task, verify: bool = True) -> Dataset:
    """The task's dataset, of its classes alone where it names some."""
    data = load(task.dataset, verify)
    return data.only(task.only.classes, task.only.superclasses) if task.only else data


def split(task: Task, data: Dataset, rest: np.ndarray, key: Key) -> Sequence[np.ndarray]:
    """Rows of each client, out of the rows that are left for clients."""
    labels, how, clients = data.train.labels[rest], task.split, task.clients
    match how.kind:
        case "drawn":
            return partition.Drawn(rest, clients, how.per_client, key)
        case "iid":
            parts = partition.iid(labels, clients, key)
        case "shards":
            parts = partition.shards(labels, clients, how.shards, key, how.draws)
        case "dirichlet":
            parts = partition.dirichlet(labels, clients, how.alpha, how.minimum, key, how.capped)
        case "dirichlet_equal":
            parts = partition.dirichlet_equal(labels, clients, how.alpha, key)
        case "labels_removed":
            parts = partition.labels_removed(labels, clients, how.per_client, how.targets, how.keep, key)
        case "few_per_class":
            parts = partition.few_per_class(labels, clients, how.classes, how.per_class, key)
        case "superclass":
            if data.train.coarse is None:
                raise BenchmarkError(f"{data.name} has no superclasses", where=task.name, hint="use cifar100")
            fine = labels if data.train.fine is None else data.train.fine[rest]
            parts = partition.superclass(fine, data.train.coarse[rest], clients, how.per_class, how.superclasses, key)
        case "registered":
            parts = partition.registered(how.name, how.options, labels, clients, key)
    return [rest[part] for part in parts]


def _cut(data: Dataset, rest: np.ndarray, size: int, key: Key) -> tuple[np.ndarray, Rows]:
    if size >= len(rest):
        raise BenchmarkError(f"{size} public images of {len(rest)} training images", hint="ask for fewer")
    left, held = partition.hold_out(data.train.labels[rest], size / len(rest), key)
    return rest[left], Rows(data.train.images, data.train.labels, rest[held])


def _other(data: Dataset, extra: Extra, offset: int, key: Key, verify: bool) -> Rows:
    other = load(str(extra.dataset), verify)
    if other.shape != data.shape:
        raise BenchmarkError(f"{other.name} has shape {other.shape}, {data.name} {data.shape}", hint="use equal shapes")
    if extra.size > len(other.train.labels):
        raise BenchmarkError(f"{extra.size} images of {len(other.train.labels)} in {other.name}", hint="ask for fewer")
    labels = other.train.labels + (offset if extra.labels == "joint" else 0)
    return Rows(other.train.images, labels, key.choice(len(labels), extra.size))


def split_tables(task: Task) -> dict[str, Any]:
    """Readable split of every seed of a task: class counts per client and a fingerprint of all rows."""
    data = _data(task)
    tables = {}
    for seed in task.seeds:
        parts = gather(task, seed, verify=False).parts
        tables[str(seed)] = partition.split_table(parts, data.train.labels, data.classes)
    return tables

"""A federation: what each client, the server and the evaluator of a run see, and nothing beyond."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import torch

from benchmark.core.api import Algorithm, Hub, Optim, Phase, Site, Training, Who
from benchmark.core.client.allowance import check_network
from benchmark.core.client.federation_data import FederationData, IndexedImages, load_federation_data
from benchmark.core.data import partition_table
from benchmark.core.data.augment import Augment
from benchmark.core.data.batches import Stream
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.models.functional import Model
from benchmark.core.models.several import SeveralModels
from benchmark.core.storage import serialization
from benchmark.core.tasks.task import Task
from benchmark.core.tree import Tree

Declared = str | Mapping[str, str]


class Federation:
    """The data and networks of one task and seed, behind the information barrier.

    Args:
        task: The task.
        seed: The seed, from which all keys are made.
        data: The images.
        pooled: Whether one client per architecture owns all private data.
        declared: The name of the network that the method uses for an architecture, or names by name of several.
        needs: What the method asks a task for: images that it does not ask for stay away from it; None asks for all.
    """

    def __init__(
        self,
        task: Task,
        seed: int,
        data: FederationData,
        pooled: bool = False,
        declared: Callable[[str], Declared] = str,
        needs: Collection[str] | None = None,
    ) -> None:
        self.task, self.key, self.data = task, task.key(seed), data
        self.pooled, self.declared, self.needs = pooled, declared, needs
        networks = tuple(dict.fromkeys(task.networks)) if pooled else task.networks
        self.parts = [np.sort(np.concatenate(data.parts))] * len(networks) if pooled else data.parts
        self.clients = len(self.parts)
        self.whos = _Whos(networks, partition_table.sizes(self.parts))
        self.cohort_size = self.clients if pooled else task.cohort
        self.train = training(task)
        self.augment = Augment(**task.augment.model_dump())
        for arch in task.networks:
            check_network(arch, declared(arch))
        self._refuse_single_images()
        self._refuse_augmentation()

    @classmethod
    def open(cls, task: Task, seed: int, algorithm: Algorithm, verify: bool = True) -> Federation:
        """Load the data of a task; workers of a process that has verified the cache pass verify=False."""
        data = load_federation_data(task, seed, verify)
        return cls(task, seed, data, algorithm.pooled, networks_of(algorithm), algorithm.needs)

    def model(self, arch: str) -> Model:
        """The network that the method uses for an architecture of the task, or several as one."""
        return assembled(self.network, self.declared(arch))

    @cached_property
    def network(self) -> Callable[[str], Model]:
        """Builds a network by its name, once per process; no method, which would lead a client to everyone's data."""
        return partial(_network, self.data.initial or {}, self.data.shape, self.data.classes)

    def _refuse_single_images(self) -> None:
        """BatchNorm has no variance over one image: such a client would never take a step."""
        for first, arch in enumerate(self.whos.networks):
            sizes = self.whos.sizes[first :: len(self.whos.networks)]
            if (self.train.batch == 1 or 1 in sizes) and self.model(arch).buffers:
                message = f"{arch} has BatchNorm, which learns nothing from one image at a time"
                raise BenchmarkError(message, where=self.task.name, hint="batches and clients need two or more")

    def _refuse_augmentation(self) -> None:
        """Augmentation that may leave nothing of an image."""
        _, height, width = self.data.shape
        for name, size, most in (("crop", self.augment.crop, 1), ("cutout", self.augment.cutout, 2)):
            limit = most * min(height, width) - 1
            if size > limit:
                message = f"augment.{name} {size} may leave nothing of {height}x{width} images"
                raise BenchmarkError(message, where=self.task.name, hint=f"choose at most {limit}")

    def who(self, client: int) -> Who:
        """What the server knows of a client."""
        who: Who = self.whos[client]
        return who

    def client_init_key(self, client: int) -> Key:
        """Key of a client's first memory, whichever round it first takes part in."""
        return self.key("client", client, "init")

    def visit_key(self, client: int, phase: Phase, round_: int) -> Key:
        """Key of everything random in a client's work of one round, counted from 0 within the phase."""
        return self.key("phase", phase.name, "round", round_, "client", client)

    def site(self, client: int, phase: Phase, round_: int) -> Site:
        """What one client sees in a round, counted from 0 within the phase."""
        who = self.who(client)
        return Site(
            who=who,
            model=self.model(who.arch),
            data=self.private(client),
            public=self.public,
            classes=self.data.classes,
            train=self.train,
            share=self.task.cohort / self.task.clients,
            cohort=self.task.cohort,
            lr=self.train.optim.rate(round_),
            network=self.network,
            key=self.visit_key(client, phase, round_)("site"),
        )

    def first_memory(self, algorithm: Algorithm, site: Site) -> Tree:
        """A client's memory when it first takes part, whenever that is."""
        key = self.client_init_key(site.who.id)
        memory = algorithm.init_client(replace(site, key=key("site")), key)
        return serialization.ordered(memory, f"memory after init_client of client {site.who.id}")

    def private(self, client: int) -> Stream:
        """A client's own images; without labels on the track that learns without them."""
        images = IndexedImages(self.data.private.images, self.data.private.labels, self.parts[client])
        return self._stream(images, hidden=self.task.track == "unsupervised")

    @cached_property
    def public(self) -> Stream | None:
        """The public images of the task, if the method asks for them; with labels if it asks for those too."""
        if self.data.public is None or not self._asks("public", "labelled public"):
            return None
        asked = self.task.public is None or self.task.public.labels != "none"
        return self._stream(self.data.public, hidden=not (asked and self._asks("labelled public")))

    def _asks(self, *needs: str) -> bool:
        return self.needs is None or any(need in self.needs for need in needs)

    @cached_property
    def hub(self) -> Hub:
        """What the server sees."""
        unlabelled = (self.data.unlabelled or self.data.public) if self._asks("unlabelled") else None
        validation = self.data.validation if self._asks("validation") else None
        return Hub(
            models={arch: self.model(arch) for arch in dict.fromkeys(self.task.networks)},
            whos=self.whos,
            public=copy(self.public),  # what the server reads of it is counted apart
            unlabelled=self._stream(unlabelled, hidden=True) if unlabelled else None,
            validation=self._stream(validation, plain=True) if validation else None,
            classes=self.data.classes,
            cohort=self.cohort_size,
            train=self.train,
            network=self.network,
        )

    @cached_property
    def test(self) -> Stream:
        """The test set: for the evaluator alone."""
        return self._stream(self.data.test, plain=True)

    @cached_property
    def all_client_data(self) -> Stream:
        """All clients' images with labels: for the evaluator alone."""
        private, rows = self.data.private, np.sort(np.concatenate(self.data.parts))
        return self._stream(IndexedImages(private.images, private.labels, rows), plain=True)

    def cohort(self, round_: int) -> list[int]:
        """Clients of a sampled round, counted from 0 over all sampled rounds of the run."""
        if self.pooled:
            return list(range(self.clients))
        if self.data.cohorts is not None:
            return [int(client) for client in self.data.cohorts[round_]]
        if self.task.draws == "published":
            draw = np.random.RandomState(round_)
            return sorted(int(c) for c in draw.choice(self.clients, self.cohort_size, replace=False))
        return [int(client) for client in self.key("cohort", round_).choice(self.clients, self.cohort_size)]

    def _stream(self, part: IndexedImages, plain: bool = False, hidden: bool = False) -> Stream:
        """A stream that holds its own rows alone; plain: never augmented; hidden: all labels are -1."""
        labels = part.labels[part.rows].astype(np.int64)
        return Stream(
            torch.from_numpy(np.ascontiguousarray(part.images[part.rows])),
            torch.from_numpy(np.full_like(labels, -1) if hidden else labels),
            classes=self.data.classes,
            mean=self.data.mean,
            std=self.data.std,
            augment=None if plain else self.augment,
            order=self.data.order,
        )


class _Whos(Sequence[Who]):
    """A lazy sequence, so that a million clients need no memory. Client i has networks[i mod len(networks)]."""

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


def networks_of(algorithm: Algorithm) -> Callable[[str], Declared]:
    """What a method declares by architecture: several networks by name, or the name of one."""
    return lambda arch: algorithm.networks(arch) or algorithm.network(arch)


def assembled(network: Callable[[str], Model], declared: Declared) -> Model:
    """The network of a name, or several as one."""
    if isinstance(declared, str):
        return network(declared)
    return SeveralModels({name: network(arch) for name, arch in declared.items()})


def training(task: Task) -> Training:
    """Local training as methods see it, its schedule laid over the task's rounds."""
    optim = Optim(**task.train.optimiser.model_dump(), rounds=task.rounds)
    return Training(task.train.epochs, task.train.batch, task.train.steps, optim)

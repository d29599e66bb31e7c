"""Federations small enough to count by hand, in memory, and a way to run a method on one."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from algorithms.scaffold import Scaffold
from benchmark.core.api import Algorithm
from benchmark.core.backends import SerialBackend, WorkerConfig
from benchmark.core.client.federation import Federation, networks_of
from benchmark.core.client.federation_data import FederationData, IndexedImages
from benchmark.core.data.lazy_partition import Drawn
from benchmark.core.keys import Key
from benchmark.core.server.communication import CommunicationCounter
from benchmark.core.server.rounds import Run
from benchmark.core.storage import checkpoint
from benchmark.core.tasks.partition_config import Iid
from benchmark.core.tasks.task import Optimiser, Task, Train
from benchmark.core.tree import Tree

SHAPE = (1, 4, 4)


class Outcome(NamedTuple):
    """What a run leaves; memories: of the clients that keep one."""

    result: dict[str, Any]
    server: Tree
    communication: CommunicationCounter
    memories: dict[int, Tree]


def rows(count: int, classes: int, name: str, shape: tuple[int, int, int] = SHAPE) -> IndexedImages:
    """Images of noise with labels 0, 1, ... in turn: the same for the same name."""
    channels, height, width = shape
    noise = Key(0)("small", name).numpy().normal(size=(count, height, width, channels)).astype(np.float32)
    return IndexedImages(noise, np.arange(count) % classes, np.arange(count))


def small_federation(
    *,
    sizes: Sequence[int] = (8, 8, 8, 8),
    cohort: int = 2,
    rounds: int = 3,
    classes: int = 3,
    epochs: int = 1,
    batch: int = 4,
    lr: float = 0.1,
    momentum: float = 0.0,
    networks: tuple[str, ...] = ("mlp",),
    seed: int = 0,
    public: int = 0,
    validation: int = 0,
    shape: tuple[int, int, int] = SHAPE,
    order: str = "shuffled",
    algorithm: Algorithm | None = None,
    **task: Any,
) -> Federation:
    """sizes: samples of each client; public, validation: samples, 0 for none; task: further fields of the task.

    algorithm: whose variants of the networks to use, and whether it pools the data
    """
    edges = np.cumsum([0, *sizes])
    given = FederationData(
        private=rows(int(edges[-1]), classes, "private", shape),
        parts=[np.arange(a, b) for a, b in pairwise(edges)],
        test=rows(30, classes, "test", shape),
        shape=shape,
        classes=classes,
        mean=(0.0,) * shape[0],
        std=(1.0,) * shape[0],
        order=order,
        public=rows(public, classes, "public", shape) if public else None,
        validation=rows(validation, classes, "validation", shape) if validation else None,
    )
    fields: dict[str, Any] = {
        "name": "small",
        "track": "global",
        "tier": "quick",
        "dataset": "noise",
        "split": Iid(kind="iid"),
        "clients": len(sizes),
        "cohort": cohort,
        "rounds": rounds,
        "networks": networks,
        "train": Train(epochs=epochs, batch=batch, optimiser=Optimiser(lr=lr, momentum=momentum)),
        **task,
    }
    if algorithm is None:
        return Federation(Task(**fields), seed, given)
    return Federation(Task(**fields), seed, given, algorithm.pooled, networks_of(algorithm))


def run(algorithm: Algorithm, federation: Federation, *, reverse: bool = False) -> Outcome:
    """From the first round to the last; reverse works through the clients of a round from the last to the first."""
    with tempfile.TemporaryDirectory() as folder:
        backend = SerialBackend(WorkerConfig(lambda _: federation, lambda: algorithm), reverse)
        course = Run(federation, algorithm, backend, Path(folder), "small")
        result = course.execute()
        files = {client: course.memories.current(client) for client in range(federation.clients)}
        memories = {client: checkpoint.load(file)[0] or {} for client, file in files.items() if file}
    return Outcome(result, course.server, course.communication, memories)


def many_clients(clients: int, rounds: int, folder: Path) -> Run:
    """A run of SCAFFOLD, which keeps a memory at every client, with 100 of many clients per round; 5 images each."""
    federation = small_federation(sizes=(40,), cohort=1, rounds=rounds)
    given = replace(federation.data, parts=Drawn(np.arange(40), clients, 5, Key(0)))
    task = federation.task.model_copy(update={"clients": clients, "cohort": 100, "evaluate_every": rounds})
    many, method = Federation(task, 0, given), Scaffold()
    run = Run(many, method, SerialBackend(WorkerConfig(lambda _: many, lambda: method)), folder, "many_clients")
    run.execute()
    return run

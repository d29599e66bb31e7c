"""A federation on random data: small enough for seconds, with all data that a method may need."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from benchmark.core import method_files
from benchmark.core.api import Algorithm
from benchmark.core.client.federation import Federation, networks_of
from benchmark.core.client.federation_data import FederationData, IndexedImages
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.server.evaluators import EVALUATORS
from benchmark.core.tasks.partition_config import Iid
from benchmark.core.tasks.task import Optimiser, ProbeSpec, Task, Train

SIZES, SHAPE, CLASSES = (15, 10, 8, 13), (1, 8, 8), 3
LARGEST = 8  # whole-numbered fields count steps, epochs, widths: no toy needs more
NETWORKS = ("mlp", "golden", "mlp_bn")  # of all tracks


def toy_method(path: str) -> Algorithm:
    """A method with small values for its whole-numbered fields; its defaults are checked first."""
    kind = method_files.load(method_files.find(path))
    defaults: dict[str, Any] = {entry.name: entry.default for entry in dataclasses.fields(kind)}
    method_files.make(path, defaults)
    if not kind.track or (unknown := set(kind.track) - EVALUATORS.keys()):
        tracks = ", ".join(sorted(unknown)) if kind.track else "nothing"
        raise BenchmarkError(f"track is {tracks}", hint=f"a tuple out of {', '.join(EVALUATORS)}")
    lowest = {entry.name: entry.metadata.get("low") for entry in dataclasses.fields(kind)}
    small = {field: max(LARGEST, lowest[field] or 0) for field, value in defaults.items()
             if type(value) is int and value > LARGEST}  # fmt: skip
    return method_files.make(path, small)


def toy_federation(algorithm: Any, track: str) -> Federation:
    """Four clients of different sizes, three per round, two rounds."""
    mixed = track == "heterogeneous" and "one architecture" not in algorithm.needs
    networks = ("mlp_bn",) if track == "unsupervised" else ("mlp", "golden") if mixed else ("mlp",)
    edges = np.cumsum([0, *SIZES])
    private = _rows(int(edges[-1]), "private")
    private.labels[edges[2] : edges[3]] %= CLASSES - 1  # the third client lacks a class, as names must not show
    data = FederationData(
        private=private, parts=np.split(np.arange(edges[-1]), edges[1:-1]),
        test=_rows(12, "test"), shape=SHAPE, classes=CLASSES, mean=(0.5,), std=(0.25,),
        public=_rows(16, "public"), unlabelled=_rows(10, "unlabelled"), validation=_rows(6, "validation"),
    )  # fmt: skip
    task = Task(
        name="toy", track=track,  # type: ignore[arg-type]
        tier="quick", dataset="noise", split=Iid(kind="iid"), clients=len(SIZES), cohort=3,
        rounds=2, networks=networks, train=Train(batch=8, optimiser=Optimiser(lr=0.05, momentum=0.9)),
        evaluate_every=2,
        probe=ProbeSpec(epochs=1, labelled=()) if track == "unsupervised" else None,
    )  # fmt: skip
    return Federation(task, 0, data, algorithm.pooled, networks_of(algorithm), algorithm.needs)


def _rows(count: int, name: str) -> IndexedImages:
    channels, height, width = SHAPE
    noise = Key(0)("toy", name).numpy().integers(0, 256, (count, height, width, channels), np.uint8)
    return IndexedImages(noise, np.arange(count) % CLASSES, np.arange(count))

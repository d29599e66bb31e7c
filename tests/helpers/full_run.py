"""A method that uses everything a run has, its federation, and what a run of it leaves: for tests of whole runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from algorithms.fedavg import FedAvg
from algorithms.feddf import FedDF
from benchmark.core import ops
from benchmark.core.api import Algorithm, Hub, Key, Local, Phase, Site, Tree, Upload, hyper, torch
from benchmark.core.backends import Backend, WorkerConfig
from benchmark.core.client.federation import Federation
from benchmark.core.server.rounds import Run
from benchmark.core.storage import serialization
from benchmark.core.storage.checksummed_json import canonical_json
from helpers.small_federation import small_federation


@dataclass(frozen=True)
class FullMethod(FedDF):
    """An opening phase, memories on both sides, keyed noise, and a server that trains a network with dropout."""

    steps: int = hyper(3)
    check: int = hyper(2)

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        return Phase("meet", 1, everyone=True), Phase("train", rounds)

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"visits": torch.tensor(0), "taste": torch.randn(3, generator=key.torch())}

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        memory = {"visits": client["visits"] + 1, "taste": client["taste"] * 0.9, "model": local.params}
        return memory, {"model": local.params, "taste": client["taste"]}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        taste = ops.mean_of([upload.message["taste"] for upload in uploads])
        noise = 0.01 * torch.randn(3, generator=key("taste").torch())
        return {**super().aggregate(server, uploads, phase, hub, key), "taste": taste + noise, "seen": {}}


@dataclass(frozen=True)
class HalvingMethod(FedAvg):
    """Clients and server halve a denormal number."""

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {}, {"model": local.params, "half": torch.tensor([2e-39]) / 2}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        halves = torch.cat([*(upload.message["half"] for upload in uploads), torch.tensor([2e-39]) / 2])
        return {**super().aggregate(server, uploads, phase, hub, key), "halves": halves}


OPTIONS: dict[str, Any] = {
    "sizes": (8, 4, 6, 10),
    "rounds": 3,
    "networks": ("fedmd_0",),
    "shape": (1, 8, 8),
    "public": 6,
    "validation": 6,
    "evaluate_every": 2,
    "momentum": 0.9,
    "protocol": 2,
}


def open_federation(options: dict[str, Any], algorithm: Algorithm) -> Federation:
    """The federation of these options, wherever it is asked for."""
    return small_federation(**options, algorithm=algorithm)


def worker_config(
    algorithm: Callable[[], Algorithm] = FullMethod, options: dict[str, Any] | None = None
) -> WorkerConfig:
    """What a worker needs; algorithm: a class, or a function that other processes can import."""
    return WorkerConfig(partial(open_federation, OPTIONS if options is None else options), algorithm)


class FinalState(NamedTuple):
    """Everything that a run leaves: its result as a record has it, the server's memory and the clients' files."""

    result: str
    server: bytes
    memories: dict[str, bytes]


def start(
    backend: Backend,
    folder: Path,
    observer: Callable[[dict[str, Any]], None] = lambda event: None,
    algorithm: Callable[[], Algorithm] = FullMethod,
    options: dict[str, Any] | None = None,
) -> Run:
    """A run that has not begun, or that goes on from the folder's checkpoint."""
    made = algorithm()
    return Run(open_federation(OPTIONS if options is None else options, made), made, backend, folder, "busy", observer)


def final_state(run: Run) -> FinalState:
    """Run it to the end."""
    result = canonical_json(run.execute())
    files = (run.memories.current(client) for client in range(run.federation.clients))
    memories = {path.name: path.read_bytes() for path in files if path}
    return FinalState(result, serialization.encode(run.server, "server").data, memories)

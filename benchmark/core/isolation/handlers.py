"""What is asked of a method in its processes: one desk for a client, one for the server, one for a client's model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import torch

from benchmark.core.api import Algorithm, Hub, Phase, Site, Upload, Who
from benchmark.core.client.local_training import run_client
from benchmark.core.isolation.child import Line, Reply
from benchmark.core.storage import serialization
from benchmark.core.tree import Tree

Names = Sequence[str | int]
Make = Callable[[], Algorithm]


class Client:
    """One client's visit: its own data, memory and message are all that there is in its process."""

    def __init__(self, make: Make, line: Line) -> None:
        self.method, self.line = make(), line

    def born(self, site: Site, arch: str, birth: Names) -> Reply:
        """A memory at the first participation."""
        memory = self.method.init_client(_furnished(site, arch), self.line.key(birth))
        return Reply({}, [_packed(memory, "init_client")])

    def visit(
        self, site: Site, arch: str, phase: Phase, message: bytes, memory: bytes, names: Names, precision: str
    ) -> Reply:
        """New memory, upload and the parameters after local work."""
        site, key = _furnished(site, arch), self.line.key(names)
        done = run_client(
            self.method, site, phase, serialization.decode(message), serialization.decode(memory) or {}, key, precision
        )
        uploads = done.upload is not None
        return Reply({"uploads": uploads}, [_packed(done.memory, "memory"), _packed(done.upload, "upload"),
                                            _packed(done.params, "parameters")])  # fmt: skip


class Server:
    """The server: its memory, the messages and the hub's data are all that there is in its process."""

    def __init__(self, make: Make, line: Line) -> None:
        self.method, self.line = make(), line
        self.hub: Hub | None = None
        self.memory: Tree = {}

    def open(self, hub: Hub, networks: dict[str, str], memory: bytes | None) -> Reply:
        """Set up; memory: None before init_server."""
        self.hub = replace(hub, models={arch: hub.network(name) for arch, name in networks.items()})
        self.memory = (serialization.decode(memory) or {}) if memory is not None else {}
        return Reply({})

    def init_server(self, names: Names) -> Reply:
        """The first memory."""
        assert self.hub is not None
        return Reply({}, [_packed(self.method.init_server(self.hub, self.line.key(names)), "init_server")])

    def download(self, who: Who, phase: Phase, names: Names) -> Reply:
        """A message."""
        return _maybe(self.method.download(self.memory, who, phase, self.line.key(names)), "download")

    def aggregate(self, uploads: Sequence[tuple[Who, bytes]], phase: Phase, names: Names) -> Reply:
        """The next memory."""
        assert self.hub is not None
        key = self.line.key(names)
        torch.manual_seed(key("dropout").seed)  # as the engine does for networks that the server trains
        received = [Upload(who, serialization.decode(message) or {}) for who, message in uploads]
        return Reply({}, [_packed(self.method.aggregate(self.memory, received, phase, self.hub, key), "aggregate")])

    def global_model(self, arch: str) -> Reply:
        """The common model."""
        return _maybe(self.method.global_model(self.memory, arch), "global_model")

    def report(self) -> Reply:
        """Numbers by name."""
        return Reply({"told": {name: float(value) for name, value in self.method.report(self.memory).items()}})


class Deployed:
    """What a client would deploy: a process that nothing leaves but the model that is judged."""

    def __init__(self, make: Make, line: Line) -> None:
        self.method = make()

    def local_model(self, server: bytes, memory: bytes, who: Who) -> Reply:
        """A model."""
        model = self.method.local_model(serialization.decode(server) or {}, serialization.decode(memory) or {}, who)
        return Reply({}, [_packed(model, "local_model")])

    def describe(self, networks: Sequence[str]) -> Reply:
        """Everything that is known of a method before it runs."""
        method = self.method
        settings = {entry.name: getattr(method, entry.name) for entry in fields(method)}
        return Reply({
            "settings": json.loads(json.dumps(settings, default=str)), "pooled": bool(method.pooled),
            "track": list(method.track), "needs": list(method.needs),
            "networks": {arch: method.network(arch) for arch in networks},
        })  # fmt: skip

    def phases(self, rounds: int) -> Reply:
        """The course of a run."""
        return Reply({"phases": [[p.name, p.rounds, p.everyone] for p in self.method.phases(rounds)]})


def _furnished(site: Site, arch: str) -> Site:
    """With the network, which is built on the spot."""
    return replace(site, model=site.network(arch))


def _packed(tree: Any, where: str) -> bytes:
    return serialization.encode(tree, where).data


def _maybe(tree: Tree | None, where: str) -> Reply:
    return Reply({"something": tree is not None}, [_packed(tree, where)])

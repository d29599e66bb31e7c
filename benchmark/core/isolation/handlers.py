"""The objects whose methods the runner calls in sandboxed processes: a client, the server, a method's models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, cast

import torch

from benchmark.core.api import Algorithm, Hub, Phase, Site, Upload, Who
from benchmark.core.client.evaluate import channels_last
from benchmark.core.client.federation import Declared, assembled, networks_of
from benchmark.core.client.local_training import run_client
from benchmark.core.data.batches import images_read
from benchmark.core.isolation.child import ChildConnection
from benchmark.core.isolation.protocol import Response
from benchmark.core.models.functional import autocast
from benchmark.core.storage import serialization
from benchmark.core.tree import Tree

Names = Sequence[str | int]
MakeMethod = Callable[[], Algorithm]


class ClientHandler:
    """One client's visit: the process holds this client's data, memory and message only."""

    def __init__(self, make: MakeMethod, connection: ChildConnection) -> None:
        self.method, self.connection = make(), connection

    @torch.no_grad()
    def init_client(self, site: Site, network: Declared, names: Names) -> Response:
        memory = self.method.init_client(self._site(site, network), self.connection.key(names))
        return Response({}, [_encoded(memory, "init_client")])

    def visit(
        self, site: Site, network: Declared, phase: Phase, message: bytes, memory: bytes, names: Names, precision: str
    ) -> Response:
        """New memory, upload and the parameters after local work."""
        site, key = self._site(site, network), self.connection.key(names)
        received, memory_tree = serialization.decode(message), serialization.decode(memory) or {}
        update = run_client(self.method, site, phase, received, memory_tree, key, precision)
        trees = {"memory": update.memory, "upload": update.upload, "parameters": update.params}
        blobs = [_encoded(tree, name) for name, tree in trees.items()]
        return Response({"uploads": update.upload is not None, **update.work._asdict()}, blobs)

    def _site(self, site: Site, network: Declared) -> Site:
        """The site with its networks, and with a key whose numbers the runner computes."""
        model: Any = assembled(cast("Any", site.network), network)
        return replace(site, model=model, key=self.connection.key(site.key.names))


class ServerHandler:
    """The server: the process holds its memory, the messages and the hub's data only."""

    def __init__(self, make: MakeMethod, connection: ChildConnection) -> None:
        self.method, self.connection = make(), connection
        self.hub: Hub | None = None
        self.memory: Tree = {}

    def open(self, hub: Hub, networks: dict[str, Declared], memory: bytes | None) -> Response:
        """Set the hub and the server's memory, None before init_server."""
        build: Any = hub.network
        self.hub = replace(hub, models={arch: assembled(build, declared) for arch, declared in networks.items()})
        self.memory = (serialization.decode(memory) or {}) if memory is not None else {}
        self.read_before = images_read(self.hub)
        return Response({})

    def init_server(self, names: Names) -> Response:
        assert self.hub is not None
        memory = _encoded(self.method.init_server(self.hub, self.connection.key(names)), "init_server")
        return Response({"images": self._images()}, [memory])

    @torch.no_grad()
    def download(self, who: Who, phase: Phase, names: Names) -> Response:
        return _optional(self.method.download(self.memory, who, phase, self.connection.key(names)), "download")

    def aggregate(self, uploads: Sequence[tuple[Who, bytes]], phase: Phase, names: Names) -> Response:
        assert self.hub is not None
        key = self.connection.key(names)
        torch.manual_seed(key("dropout").seed)  # as the engine does for networks that the server trains
        received = [Upload(who, serialization.decode(message) or {}) for who, message in uploads]
        memory = _encoded(self.method.aggregate(self.memory, received, phase, self.hub, key), "aggregate")
        return Response({"images": self._images()}, [memory])

    @torch.no_grad()
    def global_model(self, arch: str) -> Response:
        return _optional(self.method.global_model(self.memory, arch), "global_model")

    def _images(self) -> dict[str, int]:
        """Images that were read in this process, by side."""
        assert self.hub is not None
        return {side: count - self.read_before[side] for side, count in images_read(self.hub).items()}

    def report(self) -> Response:
        return Response({"report": {name: float(value) for name, value in self.method.report(self.memory).items()}})


class MethodHandler:
    """A method's own facts, and the model that a client would deploy; only that model leaves the process."""

    def __init__(self, make: MakeMethod, connection: ChildConnection) -> None:
        self.method = make()

    @torch.no_grad()
    def local_model(self, server: bytes, memory: bytes, who: Who) -> Response:
        model = self.method.local_model(serialization.decode(server) or {}, serialization.decode(memory) or {}, who)
        return Response({}, [_encoded(model, "local_model")])

    def predict(self, network: Any, declared: Declared, params: bytes, x: bytes, precision: str) -> Response:
        """Answers to images, which come without labels."""
        tree, images = channels_last(serialization.decode(params) or {}), serialization.decode(x) or {}
        with autocast(precision):
            answers = self.method.predict(tree, images["x"], assembled(network, declared)).detach()
        return Response({}, [_encoded({"logits": answers}, "predict")])

    def describe(self, networks: Sequence[str]) -> Response:
        """What is known of a method before it runs."""
        method = self.method
        settings = {entry.name: getattr(method, entry.name) for entry in fields(method)}
        return Response({
            "settings": json.loads(json.dumps(settings, default=str)), "pooled": bool(method.pooled),
            "track": list(method.track), "needs": list(method.needs),
            "networks": {arch: networks_of(method)(arch) for arch in networks}, "own_inference": method.own_inference,
        })  # fmt: skip

    def phases(self, rounds: int) -> Response:
        return Response({"phases": [[p.name, p.rounds, p.everyone] for p in self.method.phases(rounds)]})


def _encoded(tree: Any, where: str) -> bytes:
    return serialization.encode(tree, where).data


def _optional(tree: Tree | None, where: str) -> Response:
    return Response({"present": tree is not None}, [_encoded(tree, where)])

"""A method as the runner sees it when its code runs elsewhere: every call is a question to a process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmark.core.api import Algorithm, Hub, Key, Phase, Site, Tree, Upload, Who
from benchmark.core.errors import BenchmarkError
from benchmark.core.isolation.handlers import Client, Deployed, Server
from benchmark.core.isolation.limits import Bounds
from benchmark.core.isolation.process import SandboxedProcess
from benchmark.core.storage import serialization

T = TypeVar("T")


class RemoteAlgorithm:
    """Stands in for an Algorithm; none of its code is imported here. Raises BenchmarkError for one that has none.

    make: makes the method, inside; networks: architectures of the task
    readable: the method's file, if it is not an installed one
    """

    def __init__(
        self, make: Callable[[], Algorithm], networks: Sequence[str], bounds: Bounds | None = None,
        readable: Sequence[Path] = (),
    ) -> None:  # fmt: skip
        self.make, self.bounds, self.readable = make, bounds or Bounds(), readable
        with self.room(Deployed) as room:
            told = room.ask("describe", tuple(networks), where="class").facts
        self.settings = _be(dict, told.get("settings"))
        self.pooled = told.get("pooled") is True
        self.track = tuple(map(str, _be(list, told.get("track"))))
        self.needs = tuple(map(str, _be(list, told.get("needs"))))
        self.networks = {str(arch): str(name) for arch, name in _be(dict, told.get("networks")).items()}
        self.gaps = list(map(str, _be(list, told.get("gaps"))))
        self.courses: dict[int, tuple[Phase, ...]] = {}
        self.hub: Hub | None = None
        self.office: _Office | None = None

    def room(self, desk: Callable[..., Any]) -> SandboxedProcess:
        """A fresh process."""
        return SandboxedProcess(partial(desk, self.make), self.bounds, self.readable)

    def close(self) -> None:
        """End the server's process."""
        if self.office:
            self.office.room.close()
            self.office = None

    def network(self, arch: str) -> str:
        """As of an Algorithm."""
        return self.networks.get(arch, arch)

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        """As of an Algorithm."""
        if rounds not in self.courses:
            with self.room(Deployed) as room:
                told = room.ask("phases", rounds).facts.get("phases")
            self.courses[rounds] = tuple(_phase(_be(list, one)) for one in _be(list, told))
        return self.courses[rounds]

    def init_server(self, hub: Hub, key: Key) -> Tree:
        """As of an Algorithm."""
        return self._next(None, "init_server", key, key.names)

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        """As of an Algorithm; equal messages are one object."""
        where, office = f"download in phase {phase.name}, client {who.id}", self._office(server)
        answer = office.room.ask("download", who, phase, key.names, where=where, key=key)
        if answer.facts.get("something") is not True:
            return None
        if answer.blobs[0] not in office.sent:
            office.sent = {answer.blobs[0]: answer.tree(0, where)}
        return office.sent[answer.blobs[0]]

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        """As of an Algorithm."""
        parcels = [(upload.who, serialization.encode(upload.message, "upload").data) for upload in uploads]
        return self._next(server, "aggregate", key, parcels, phase, key.names)

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        """As of an Algorithm."""
        answer = self._office(server).room.ask("global_model", arch)
        return answer.tree(0, "global_model") if answer.facts.get("something") is True else None

    def report(self, server: Tree) -> dict[str, float]:
        """As of an Algorithm."""
        told = _be(dict, self._office(server).room.ask("report").facts.get("told"))
        return {str(name): float(value) for name, value in told.items()}

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        """As of an Algorithm, in a process that has seen no other client."""
        where = f"local_model of client {who.id}"
        memories = [serialization.encode(tree, where).data for tree in (server, client)]
        with self.room(Deployed) as room:
            return room.ask("local_model", *memories, who, where=where).tree(0, where)

    def init_client(self, site: Site, key: Key) -> Tree:
        """As of an Algorithm, in a process that has seen no other client."""
        with self.room(Client) as room:
            return self.born(room, site, key)

    def born(self, room: SandboxedProcess, site: Site, key: Key) -> Tree:
        """A client's first memory, in a process that is there already."""
        where = f"init_client of client {site.who.id}"
        return room.ask("born", *self.luggage(site), key.names, where=where, key=key).tree(0, where)

    def luggage(self, site: Site) -> tuple[Site, str]:
        """All that a client's process gets to see of the task: its site, and the name of its network."""
        return replace(site, model=None), self.network(site.who.arch)  # type: ignore[arg-type]

    def _next(self, server: Tree | None, what: str, key: Key, *arguments: Any) -> Tree:
        """A new server memory; the process goes, so that the memory is all that is left of it."""
        tree = self._office(server).room.ask(what, *arguments, key=key).tree(0, what)
        self.close()
        return tree

    def _office(self, memory: Tree | None) -> _Office:
        """The server's process that knows this memory, and nothing else of the past."""
        if self.office is None or self.office.memory is not memory:
            self.close()
            assert self.hub is not None, "the backend knows it"
            packed = None if memory is None else serialization.encode(memory, "server memory").data
            self.office = _Office(self.room(Server), memory)
            networks = {arch: self.network(arch) for arch in self.hub.models}
            self.office.room.ask("open", replace(self.hub, models={}), networks, packed)
        return self.office


class _Office:
    """The server's process; sent: its last message by its bytes."""

    def __init__(self, room: SandboxedProcess, memory: Tree | None) -> None:
        self.room, self.memory = room, memory
        self.sent: dict[bytes, Tree] = {}


def _phase(told: list[Any]) -> Phase:
    name, rounds, everyone = told
    if type(name) is not str or type(rounds) is not int or type(everyone) is not bool:
        raise BenchmarkError("a phase has a name, a number of rounds and whether everyone takes part", where="phases",
                             hint="return Phase(name, rounds)", user=False)  # fmt: skip
    return Phase(name, rounds, everyone)


def _be(kind: type[T], value: Any) -> T:
    """What a process told, which may be anything."""
    if type(value) is not kind:
        raise BenchmarkError(f"tells a {type(value).__name__} where a {kind.__name__} belongs", user=False)
    return value

"""A method whose code runs in sandboxed processes: every call is sent to one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmark.core.api import Algorithm, Hub, Key, Phase, Site, Tensor, Tree, Upload, Who, torch
from benchmark.core.client.federation import Declared, networks_of
from benchmark.core.errors import BenchmarkError
from benchmark.core.isolation.handlers import ClientHandler, MethodHandler, ServerHandler
from benchmark.core.isolation.limits import Limits
from benchmark.core.isolation.process import SandboxedProcess
from benchmark.core.storage import serialization

T = TypeVar("T")


class RemoteAlgorithm:
    """Takes the place of an Algorithm; this process never imports the method's code.

    make: makes the method, inside
    networks: architectures of the task
    readable: the method's file, if it is not an installed one
    Raises BenchmarkError if the method cannot be made.
    """

    def __init__(
        self,
        make: Callable[[], Algorithm],
        networks: Sequence[str],
        limits: Limits | None = None,
        readable: Sequence[Path] = (),
    ) -> None:
        self.make, self.limits, self.readable = make, limits or Limits(), readable
        with self.process(MethodHandler) as process:
            facts = process.call("describe", tuple(networks), where="class").facts
        self.settings = expect(dict, facts.get("settings"))
        self.pooled = facts.get("pooled") is True
        self.track = tuple(map(str, expect(list, facts.get("track"))))
        self.needs = tuple(map(str, expect(list, facts.get("needs"))))
        self.declared = {str(arch): _declared(names) for arch, names in expect(dict, facts.get("networks")).items()}
        self.own_inference = facts.get("own_inference") is True
        self.gaps = list(map(str, expect(list, facts.get("gaps"))))
        self.phase_lists: dict[int, tuple[Phase, ...]] = {}
        self.hub: Hub | None = None
        self.server_session: _ServerSession | None = None

    def process(self, handler: Callable[..., Any]) -> SandboxedProcess:
        """A new process."""
        return SandboxedProcess(partial(handler, self.make), self.limits, self.readable)

    def close(self) -> None:
        """End the server's process."""
        if self.server_session:
            self.server_session.process.close()
            self.server_session = None

    def network(self, arch: str) -> str:
        declared = self.declared.get(arch, arch)
        return declared if isinstance(declared, str) else arch

    def networks(self, arch: str) -> dict[str, str]:
        declared = self.declared.get(arch, {})
        return {} if isinstance(declared, str) else declared

    def predict(self, params: Tree, x: Tensor, model: Any) -> Tensor:
        """Answers to images, from a process that has seen no others and no labels."""
        if not self.own_inference:
            return model.frozen(params, x).logits
        assert self.hub is not None, "the backend sets it"
        encoded = [serialization.encode(tree, "predict").data for tree in (params, {"x": x})]
        precision = "bf16" if torch.is_autocast_enabled("cpu") else "fp32"
        with self.process(MethodHandler) as process:
            response = process.call("predict", self.hub.network, model.declared, *encoded, precision, where="predict")
        return response.tree(0, "predict")["logits"]

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        if rounds not in self.phase_lists:
            with self.process(MethodHandler) as process:
                entries = expect(list, process.call("phases", rounds).facts.get("phases"))
            self.phase_lists[rounds] = tuple(_phase(expect(list, entry)) for entry in entries)
        return self.phase_lists[rounds]

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return self._update_server(None, "init_server", key, key.names)

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        """The message to a client; equal messages in a row are one object."""
        where, session = f"download in phase {phase.name}, client {who.id}", self._session(server)
        response = session.process.call("download", who, phase, key.names, where=where, key=key)
        if response.facts.get("present") is not True:
            return None
        encoded = response.blobs[0]
        if encoded not in session.last_message:
            session.last_message = {encoded: response.tree(0, where)}
        return session.last_message[encoded]

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        encoded = [(upload.who, serialization.encode(upload.message, "upload").data) for upload in uploads]
        return self._update_server(server, "aggregate", key, encoded, phase, key.names)

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        return self._session(server).process.call("global_model", arch).optional_tree("global_model")

    def report(self, server: Tree) -> dict[str, float]:
        values = expect(dict, self._session(server).process.call("report").facts.get("report"))
        return {str(name): float(value) for name, value in values.items()}

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        """The model that a client would deploy, from a process that has seen no other client."""
        where = f"local_model of client {who.id}"
        memories = [serialization.encode(tree, where).data for tree in (server, client)]
        with self.process(MethodHandler) as process:
            return process.call("local_model", *memories, who, where=where).tree(0, where)

    def init_client(self, site: Site, key: Key) -> Tree:
        """A client's first memory, from a process that has seen no other client."""
        with self.process(ClientHandler) as process:
            return self.init_client_in(process, site, key)

    def init_client_in(self, process: SandboxedProcess, site: Site, key: Key) -> Tree:
        where = f"init_client of client {site.who.id}"
        return process.call("init_client", *self.client_payload(site), key.names, where=where, key=key).tree(0, where)

    def client_payload(self, site: Site) -> tuple[Site, Declared]:
        """All that a client's process gets to see of the task: its site, without the seed, and its networks' names."""
        key = Key(0, site.key.names)
        return replace(site, model=None, key=key), networks_of(self)(site.who.arch)  # type: ignore[arg-type]

    def _update_server(self, server: Tree | None, name: str, key: Key, *arguments: Any) -> Tree:
        """A new server memory; the process ends, so that nothing else of it remains."""
        response = self._session(server).process.call(name, *arguments, key=key)
        tree = response.tree(0, name)
        for side, images in counts(response.facts.get("images")).items():
            if (stream := getattr(self.hub, side, None)) is not None:
                stream.images_read += images
        self.close()
        return tree

    def _session(self, memory: Tree | None) -> _ServerSession:
        """The server's process that holds this memory and has seen no earlier one."""
        if self.server_session is None or self.server_session.memory is not memory:
            self.close()
            assert self.hub is not None, "the backend sets it"
            encoded = None if memory is None else serialization.encode(memory, "server memory").data
            self.server_session = _ServerSession(self.process(ServerHandler), memory)
            networks = {arch: networks_of(self)(arch) for arch in self.hub.models}  # type: ignore[arg-type]
            self.server_session.process.call("open", replace(self.hub, models={}), networks, encoded)
        return self.server_session


@dataclass
class _ServerSession:
    """The server's process; last_message: by its bytes."""

    process: SandboxedProcess
    memory: Tree | None
    last_message: dict[bytes, Tree] = field(default_factory=dict)


def _declared(names: Any) -> str | dict[str, str]:
    return {str(name): str(network) for name, network in names.items()} if isinstance(names, dict) else str(names)


def _phase(entry: list[Any]) -> Phase:
    hint = "return Phase(name, rounds)"
    if len(entry) != 3 or [type(value) for value in entry] != [str, int, bool]:
        message = "a phase has a name, a number of rounds and whether everyone takes part"
        raise BenchmarkError(message, where="phases", hint=hint, user=False)
    return Phase(*entry)


def expect(kind: type[T], value: Any) -> T:
    """What a process sent, which may be anything."""
    if type(value) is not kind:
        raise BenchmarkError(f"sends a {type(value).__name__} where a {kind.__name__} belongs", user=False)
    return value


def counts(value: Any) -> dict[str, int]:
    """Numbers by name that a process sent."""
    return {str(name): expect(int, number) for name, number in expect(dict, value).items()}

"""A method under watch: what its calls change, send and reach for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm
from benchmark.core.errors import BenchmarkError
from benchmark.core.tree import Tree

# Arguments of the engine's calls that a stage must leave as they are, by position; `local` is the client's own
INPUTS = {
    "download": {"server memory": 0}, "begin": {"client memory": 0, "message": 1},
    "finish": {"client memory": 0, "message": 2}, "aggregate": {"server memory": 0, "uploads": 1},
    "global_model": {"server memory": 0}, "local_model": {"server memory": 0, "client memory": 1},
}  # fmt: skip
REFUSED = ("open", "socket.", "subprocess.", "os.", "shutil.")
TRUSTED = ("<frozen importlib", "linecache.py")  # Python's own reading of source
OUTSIDE = "a method opens no files and connections and starts no processes and threads: use what it is handed"
Prints = dict[str, bytes]


class Refused(BenchmarkError):
    """Ends a call that reaches outside; the fault is noted already."""


class Sent(NamedTuple):
    """A message as others of its round are compared with it."""

    client: int
    arch: str
    leaves: dict[str, torch.Tensor] | None


class Watched:
    """Stands in for a method: passes every call on and notes faults as (check, error)."""

    def __init__(self, method: Algorithm) -> None:
        self.method, self.faults = method, list[tuple[str, BenchmarkError]]()
        self.sent: dict[str, list[Sent]] = {"download": [], "finish": []}
        self.held: dict[int, Prints] = {}
        _install()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.method, name)
        return partial(self._call, name, value) if callable(value) else value

    def blame(self, check: str, stage: str, message: str, hint: str) -> None:
        """Note a fault."""
        self.faults.append((check, BenchmarkError(message, where=stage, hint=hint)))

    def _call(self, stage: str, function: Any, *arguments: Any) -> Any:
        inputs = {what: arguments[place] for what, place in INPUTS.get(stage, {}).items()}
        before, threads = _prints(inputs), threading.active_count()
        if stage == "finish":
            self._unchanged("loss, step or after_step", self.held.pop(arguments[-1].who.id, before), before)
        if stage == "begin":
            self.held[arguments[-1].who.id] = before
        with _guarded(self, stage):
            outcome = function(*arguments)
        self._unchanged(stage, before, _prints(inputs))
        if threading.active_count() > threads:
            self.blame("reach", stage, "leaves a thread behind", OUTSIDE)
        if stage == "download":
            self._send(stage, arguments[1], outcome)
        elif stage == "finish":
            self._send(stage, arguments[-1].who, outcome[1])
        return outcome

    def _unchanged(self, stage: str, before: Prints, after: Prints) -> None:
        changed = [path for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)]
        if changed:
            hint = "write into copies (tree.copy) and return new trees"
            self.blame("purity", stage, f"changes its input {changed[0]}", hint)

    def _send(self, stage: str, who: Any, message: Any) -> None:
        if not isinstance(message, Mapping | None):
            return  # the engine refuses it, by path
        leaves = None if message is None else dict(trees.walk(dict(message)))
        if leaves is not None and not all(isinstance(leaf, torch.Tensor) for leaf in leaves.values()):
            return
        if leaves is not None and not sum(leaf.numel() for leaf in leaves.values()):
            self.blame("messages", stage, "the message is empty", "return None where nothing is to be sent")
        self.sent[stage].append(Sent(who.id, who.arch, leaves))

    def observe(self, before: dict[str, Any], event: dict[str, Any]) -> None:
        """Compare the messages of a finished round, and the state outside of memories with what it was `before`."""
        number = event["round"]
        for stage, sent in self.sent.items():
            for other in sent[1:]:
                if odd := _unlike(sent[0], other):
                    message = f"round {number}: {odd} at client {other.client} and client {sent[0].client}"
                    hint = "send the same names and types from and to all clients of a round"
                    self.blame("messages", stage, message, hint)
                    break
        self.forget_round()
        after = state(self.method)
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                hint = "keep it in the memories that finish and aggregate return"
                self.blame("state", f"round {number}", f"{name} has changed: state outside of memories", hint)

    def forget_round(self) -> None:
        """Start anew: messages of different rounds may differ."""
        self.held.clear()
        for sent in self.sent.values():
            sent.clear()


def _unlike(one: Sent, two: Sent) -> str:
    if one.leaves is None or two.leaves is None:
        return "" if one.leaves is two.leaves else "a message to one client and none to the other:"
    if one.arch == two.arch and (odd := sorted(one.leaves.keys() ^ two.leaves.keys())):
        return f"{odd[0]} is not in both messages:"
    for path in sorted(one.leaves.keys() & two.leaves.keys()):
        a, b = one.leaves[path], two.leaves[path]
        if a.dtype != b.dtype:
            return f"{path} has types {a.dtype} and {b.dtype}"
        if one.arch == two.arch and a.shape != b.shape:
            return f"{path} has shapes {tuple(a.shape)} and {tuple(b.shape)}"
    return ""


def _prints(inputs: Mapping[str, Any]) -> Prints:
    """Bytes of every tensor by its path, and of the shape of what is no tensor."""
    named: Tree = {}
    for what, tree in inputs.items():
        named[what] = {f"of client {u.who.id}": u.message for u in tree} if what == "uploads" else tree
    return {path: _bytes(leaf) for path, leaf in trees.walk(named)}


def _bytes(leaf: Any) -> bytes:
    if not isinstance(leaf, torch.Tensor):
        return repr(leaf).encode()
    flat = leaf.detach().contiguous().reshape(-1)
    return str((leaf.dtype, leaf.shape)).encode() + flat.view(torch.uint8).numpy().tobytes()


def state(method: Algorithm) -> dict[str, Any]:
    """Marks of everything a method could remember by outside of memories: itself, its classes, its modules."""
    kind = type(method)
    modules = {name for name in sys.modules if name == kind.__module__ or name.startswith("algorithms.")}
    marks = {f"self.{name}": _mark(value, modules) for name, value in vars(method).items()}
    for module in modules:
        for name, value in vars(sys.modules[module]).items():
            if not name.startswith("__"):
                marks[f"{module}.{name}"] = _mark(value, modules)
                if isinstance(value, type) and value.__module__ in modules:
                    attributes = {key: held for key, held in vars(value).items() if not key.startswith("__")}
                    marks |= {f"{value.__name__}.{key}": _mark(held, modules) for key, held in attributes.items()}
    return marks


def _mark(value: Any, modules: set[str], depth: int = 4) -> Any:
    """Equal as long as a value is what it was; its inside counts where Python can change it."""
    inner = partial(_mark, modules=modules, depth=depth - 1)
    if isinstance(value, torch.Tensor):
        return _bytes(value)
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if value is None or isinstance(value, str | bytes | int | float):
        return repr(value)
    if depth == 0:
        return id(value)
    if isinstance(value, dict):
        return [(repr(key), inner(held)) for key, held in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [inner(held) for held in value]
    if isinstance(value, FunctionType):
        return id(value), inner(value.__defaults__), inner(vars(value))
    if type(value).__module__ in modules and hasattr(value, "__dict__"):
        return id(value), inner(vars(value))
    return id(value)


_GUARDS: list[tuple[Watched, str]] = []  # the calls under way, the innermost last


def under_way() -> str:
    """The method's call that is under way, "" if none is."""
    return _GUARDS[-1][1] if _GUARDS else ""


@contextmanager
def _guarded(watched: Watched, stage: str) -> Iterator[None]:
    _GUARDS.append((watched, stage))
    try:
        yield
    finally:
        _GUARDS.pop()


@cache
def _install() -> None:
    """Python cannot remove an audit hook: there is one, and it sleeps outside of a method's calls."""
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _GUARDS or not event.startswith(REFUSED) or _python_reads():
        return
    watched, stage = _GUARDS[-1]
    what = f"{event} {arguments[0]!r}" if arguments and isinstance(arguments[0], str | bytes | int) else event
    watched.blame("reach", stage, f"reaches outside ({what})", OUTSIDE)
    raise Refused(f"{stage} reaches outside")


def _python_reads() -> bool:
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith(TRUSTED[0]) or frame.f_code.co_filename.endswith(TRUSTED[1]):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False

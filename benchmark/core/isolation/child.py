"""What happens inside a sandboxed process."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from benchmark.core.client import determinism
from benchmark.core.errors import BenchmarkError, Diverged, error_context
from benchmark.core.isolation import limits
from benchmark.core.isolation.audit_hook import OUTSIDE, guarded
from benchmark.core.isolation.limits import Bounds
from benchmark.core.keys import Key

ANSWER, ERROR, SEED, STAGE = b"a", b"e", b"s", b"w"  # kinds of frames that leave the process


class Order(NamedTuple):
    """How to set up a process.

    desk: pickled function that makes the object whose methods are called; unpickled behind the barrier, where a
        method's code may be imported
    writable: folders for the engine; such a desk sees itself to what the method's code reaches for
    """

    bounds: Bounds
    readable: tuple[Any, ...]
    writable: tuple[Any, ...]
    desk: bytes


class Reply(NamedTuple):
    """What a call answers: plain facts, and encoded trees."""

    facts: dict[str, Any]
    blobs: Sequence[bytes] = ()


class Sealed(Key):
    """A key whose root stays with the runner, which hashes the names that the key was handed out for, and no others."""

    def __init__(self, names: Sequence[str | int], hashed: Callable[[Sequence[str | int]], int]) -> None:
        object.__setattr__(self, "names", tuple(names))
        object.__setattr__(self, "hashed", hashed)

    def __call__(self, *names: str | int) -> Key:
        return Sealed(self.names + names, self.hashed)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"Sealed({self.names})"

    @property
    def root(self) -> int:
        """Refused: it would tell what everybody else draws."""
        raise BenchmarkError("reads the root of a key", hint="derive keys by calling them: key('name')", user=False)

    @property
    def seed(self) -> int:
        """As `Key.seed`."""
        return self.hashed(self.names)  # type: ignore[attr-defined]


class Line:
    """This process's end of the pipe."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def key(self, names: Sequence[str | int]) -> Sealed:
        """A key of these names, whose numbers come through the pipe."""
        return Sealed(names, self._hashed)

    def stage(self, name: str) -> None:
        """Tell what is under way, in case that nothing follows."""
        self.pipe.send_bytes(STAGE + name.encode())

    def answer(self, reply: Reply) -> None:
        """The end of a call."""
        head = json.dumps({"facts": reply.facts, "sizes": [len(blob) for blob in reply.blobs]}).encode()
        self.pipe.send_bytes(b"".join([ANSWER, len(head).to_bytes(8, "little"), head, *reply.blobs]))

    def fail(self, error: BenchmarkError) -> None:
        """The end of a call that failed."""
        facts = {"message": error.message, "where": error.where, "hint": error.hint}
        self.pipe.send_bytes(ERROR + json.dumps({**facts, "diverged": isinstance(error, Diverged)}).encode())

    def _hashed(self, names: Sequence[str | int]) -> int:
        self.pipe.send_bytes(SEED + json.dumps(list(names)).encode())
        return int(self.pipe.recv_bytes())


def enter(pipe: Connection) -> None:
    """The life of a process: give everything up, make the desk, answer calls until nobody asks any more."""
    with suppress(EOFError, ConnectionError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        determinism.enable()
        order: Order = pickle.loads(pipe.recv_bytes())
        line, attempts = Line(pipe), list[str]()
        _silence()
        gaps = limits.confine(order.bounds, order.readable, order.writable)
        desk: Any = None
        while True:
            what, arguments = pickle.loads(pipe.recv_bytes())
            try:
                with nullcontext() if order.writable else guarded(what, attempts.append), error_context(what):
                    desk = desk or pickle.loads(order.desk)(line)
                    reply: Reply = getattr(desk, what)(*arguments)
                if attempts:
                    raise BenchmarkError(attempts[0], where=what, hint=OUTSIDE, user=False)
                line.answer(Reply({**reply.facts, "gaps": gaps}, reply.blobs))
            except BenchmarkError as error:
                line.fail(error)
            except BaseException as error:  # SystemExit and the like
                message = f"ends its process ({type(error).__name__})"
                line.fail(BenchmarkError(message, where=what, hint="raise an exception", user=False))


def _silence() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)

"""The runner's side of a sandboxed process: what it answers is bytes, checked before they are believed."""

from __future__ import annotations

import json
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.isolation import child, forkserver
from benchmark.core.isolation.child import ANSWER, ERROR, SEED, STAGE, Order
from benchmark.core.isolation.limits import Bounds
from benchmark.core.keys import Key
from benchmark.core.storage import serialization
from benchmark.core.tree import Tree

LONGEST = 2000  # characters of an error that are shown
OWN_KEYS = "derive keys from those that are handed in"
_STARTING = threading.Lock()


class Answer(NamedTuple):
    """Facts of any content, and encoded trees."""

    facts: dict[str, Any]
    blobs: list[bytes]

    def tree(self, place: int, where: str) -> Tree:
        """A tree whose bytes are those of its tensors and no others."""
        blob = self.blobs[place] if place < len(self.blobs) else b""
        tree = serialization.decode(blob)
        if tree is None or serialization.encode(tree, where).data != blob:
            hint = "return plain tensors and leave the encoding alone"
            raise BenchmarkError("sends bytes beside its tensors", where=where, hint=hint, user=False)
        return tree


class SandboxedProcess:
    """One process; `desk` makes, inside, the object whose methods are asked."""

    def __init__(
        self, desk: Callable[..., Any], bounds: Bounds, readable: Sequence[Path] = (), writable: Sequence[Path] = ()
    ) -> None:
        self.bounds, self.stage = bounds, ""
        self.late = False
        context = forkserver.context()
        self.pipe, theirs = context.Pipe()
        with _nameless_program():
            self.process = context.Process(target=child.enter, args=(theirs,), daemon=True)
            self.process.start()
        theirs.close()
        self._send(Order(bounds, tuple(readable), tuple(writable), pickle.dumps(desk)))

    def ask(self, what: str, *arguments: Any, where: str = "", key: Key | None = None) -> Answer:
        """Call a method of the desk.

        where: stage and client, for errors
        key: numbers of it and of keys that derive from it are given out
        """
        timer = threading.Timer(self.bounds.seconds, self._expire)
        timer.start()
        try:
            self._send((what, arguments))
            return self._listen(where or what, partial(_hashed, key, where or what))
        except (EOFError, ConnectionError):
            raise self._gone(where, what) from None
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the process; the one that it was forked from sees to the rest."""
        self.pipe.close()
        self.process.kill()

    def __enter__(self) -> SandboxedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, content: Any) -> None:
        self.pipe.send_bytes(pickle.dumps(content))

    def _listen(self, where: str, hashed: Callable[[bytes], bytes]) -> Answer:
        while True:
            try:
                frame = self.pipe.recv_bytes(self.bounds.answer)
            except OSError as error:
                if isinstance(error, ConnectionError):
                    raise
                message = f"answers with more than {self.bounds.answer / 1e6:.0f} MB"
                raise BenchmarkError(message, where=where, hint="send and keep less", user=False) from None
            kind, body = frame[:1], frame[1:]
            if kind == SEED:
                self.pipe.send_bytes(hashed(body))
            elif kind == STAGE:
                self.stage = _clean(body.decode(errors="replace"))
            elif kind == ANSWER:
                return _answer(body, where)
            else:
                raise _error(body if kind == ERROR else b"", where)

    def _expire(self) -> None:
        self.late = True
        self.process.kill()

    def _gone(self, where: str, what: str) -> BenchmarkError:
        """Why the process is no more."""
        self.process.join()
        code = self.process.exitcode or 0
        place = ", ".join(word for word in (where, self.stage) if word) or what
        if self.late:
            message, hint = f"does not end within {self.bounds.seconds:g} s", "bound its loops by a field"
        elif -code in (signal.SIGXCPU, signal.SIGKILL):
            message, hint = "uses up its processor time or memory", "bound its loops by a field"
        elif code < 0:
            message, hint = f"its process was ended by signal {-code}", "mend the method"
        else:
            message, hint = f"ends its process (exit code {code})", "raise an exception"
        return BenchmarkError(message, where=place, hint=hint, user=False)


@contextmanager
def _nameless_program() -> Iterator[None]:
    """A process that starts in here does not import the program that was started."""
    with _STARTING:
        program = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = program


def _hashed(key: Key | None, where: str, body: bytes) -> bytes:
    """The number of a key that was handed out, or that was derived from one."""
    names = _parsed(body)
    if key is None or not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise BenchmarkError("asks for a key where none is handed out", where=where, hint=OWN_KEYS, user=False)
    if tuple(names[: len(key.names)]) != key.names:
        asked = _clean("/".join(map(str, names)))
        raise BenchmarkError(f"asks for another's key ({asked})", where=where, hint=OWN_KEYS, user=False)
    return str(Key(key.root, tuple(names)).seed).encode()


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _answer(body: bytes, where: str) -> Answer:
    broken = BenchmarkError("answers in a form of its own", where=where, hint="mend the method", user=False)
    size = int.from_bytes(body[:8], "little")
    try:
        head = json.loads(body[8 : 8 + size])
        facts, sizes, start = head["facts"], head["sizes"], 8 + size
        blobs = []
        for length in sizes:
            blobs.append(body[start : start + length])
            start += length
    except (ValueError, TypeError, KeyError):
        raise broken from None
    if start != len(body) or not isinstance(facts, dict) or [len(blob) for blob in blobs] != sizes:
        raise broken
    return Answer(facts, blobs)


def _error(body: bytes, where: str) -> BenchmarkError:
    """What the process says went wrong, which may be anything."""
    try:
        told = _parsed(body)
        message, hint = _clean(str(told["message"])), _clean(str(told["hint"]))
        diverged = told["diverged"] is True
    except (ValueError, TypeError, KeyError):
        message, hint, diverged = "fails in a form of its own", "mend the method", False
    if diverged:
        return Diverged(message, where=where)
    return BenchmarkError(message, where=where, hint=hint, user=False)


def _clean(text: str) -> str:
    """Nothing that a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST])

"""The runner's side of a sandboxed process."""

from __future__ import annotations

import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark.core.errors import BenchmarkError
from benchmark.core.isolation import child, forkserver
from benchmark.core.isolation.limits import Limits
from benchmark.core.isolation.protocol import (
    ERROR,
    KEY,
    RESPONSE,
    STAGE,
    ProcessConfig,
    Response,
    parse,
    printable,
    unpack_error,
    unpack_response,
)
from benchmark.core.keys import Key

OWN_KEYS = "derive keys from those that are passed in"
_START_LOCK = threading.Lock()


class SandboxedProcess:
    """One process.

    handler: makes, inside, the object whose methods are called
    """

    def __init__(
        self, handler: Callable[..., Any], limits: Limits, readable: Sequence[Path] = (), writable: Sequence[Path] = ()
    ) -> None:
        self.limits, self.stage, self.timed_out = limits, "", False
        context = forkserver.context()
        self.pipe, child_pipe = context.Pipe()
        with _without_main_module():
            self.process = context.Process(target=child.child_main, args=(child_pipe,), daemon=True)
            self.process.start()
        child_pipe.close()
        self._send(ProcessConfig(limits, tuple(readable), tuple(writable), pickle.dumps(handler)))

    def call(self, name: str, *arguments: Any, where: str = "", key: Key | None = None) -> Response:
        """Call a method of the handler.

        where: stage and client, for errors
        key: the process may ask for numbers of this key and of keys derived from it
        """
        timer = threading.Timer(self.limits.seconds, self._expire)
        timer.start()
        try:
            self._send((name, arguments))
            return self._receive(where or name, partial(key_number, key, where or name))
        except (EOFError, ConnectionError):
            raise self._death(where, name) from None
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the process; the fork server waits for it."""
        self.pipe.close()
        self.process.kill()

    def __enter__(self) -> SandboxedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, content: Any) -> None:
        self.pipe.send_bytes(pickle.dumps(content))

    def _receive(self, where: str, number: Callable[[bytes], bytes]) -> Response:
        while True:
            try:
                frame = self.pipe.recv_bytes(self.limits.response)
            except OSError as error:
                if isinstance(error, ConnectionError):
                    raise
                message = f"answers with more than {self.limits.response / 1e6:.0f} MB"
                raise BenchmarkError(message, where=where, hint="send and keep less", user=False) from None
            kind, body = frame[:1], frame[1:]
            if kind == KEY:
                self.pipe.send_bytes(number(body))
            elif kind == STAGE:
                self.stage = printable(body.decode(errors="replace"))
            elif kind == RESPONSE:
                return unpack_response(body, where)
            else:
                raise unpack_error(body if kind == ERROR else b"", where)

    def _expire(self) -> None:
        self.timed_out = True
        self.process.kill()

    def _death(self, where: str, name: str) -> BenchmarkError:
        """Why the process has ended in a call."""
        self.process.join()
        code = self.process.exitcode or 0
        place = ", ".join(word for word in (where, self.stage) if word) or name
        if self.timed_out:
            message, hint = f"does not end within {self.limits.seconds:g} s", "bound its loops by a field"
        elif -code in (signal.SIGXCPU, signal.SIGKILL):
            message, hint = "uses up its processor time or memory", "bound its loops by a field"
        elif code < 0:
            message, hint = f"its process was ended by signal {-code}", "correct the method"
        else:
            message, hint = f"ends its process (exit code {code})", "raise an exception"
        return BenchmarkError(message, where=place, hint=hint, user=False)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """A process that starts in here does not import the program that was started."""
    with _START_LOCK:
        program = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = program


def key_number(key: Key | None, where: str, body: bytes) -> bytes:
    """The number of a key that was passed to a call, or of one derived from it; BenchmarkError for any other."""
    names = parse(body)
    if key is None or not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise BenchmarkError("asks for a key where none is passed in", where=where, hint=OWN_KEYS, user=False)
    if tuple(names[: len(key.names)]) != key.names:
        asked = printable("/".join(map(str, names)))
        raise BenchmarkError(f"asks for another's key ({asked})", where=where, hint=OWN_KEYS, user=False)
    return str(Key(key.root, tuple(names)).seed).encode()

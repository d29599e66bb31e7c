"""What runs inside a sandboxed process."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from benchmark.core.client import determinism
from benchmark.core.errors import BenchmarkError, error_context
from benchmark.core.isolation import limits
from benchmark.core.isolation.protocol import (
    ERROR,
    KEY,
    RESPONSE,
    STAGE,
    ProcessConfig,
    Response,
    pack_error,
    pack_response,
)
from benchmark.core.keys import Key

MAX_DESCRIPTORS = 1 << 20


class ScopedKey(Key):
    """A key without its root: its numbers come from `number`, which answers for these names and those below them."""

    def __init__(self, names: Sequence[str | int], number: Callable[[Sequence[str | int]], int]) -> None:
        object.__setattr__(self, "names", tuple(names))
        object.__setattr__(self, "number", number)

    def __call__(self, *names: str | int) -> Key:
        return ScopedKey(self.names + names, self.number)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"ScopedKey({self.names})"

    @property
    def root(self) -> int:
        """Refused: whoever knows the root can compute everybody's random numbers."""
        raise BenchmarkError("reads the root of a key", hint="derive keys by calling them: key('name')", user=False)

    @property
    def seed(self) -> int:
        """The same number as `Key.seed`."""
        return self.number(self.names)  # type: ignore[attr-defined]


class ChildConnection:
    """The process's end of the pipe to the runner."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def key(self, names: Sequence[str | int]) -> ScopedKey:
        """A key of these names, whose numbers the runner computes."""
        return ScopedKey(names, self._number)

    def send_stage(self, name: str) -> None:
        """Say what is running, in case that the process ends in it."""
        self.pipe.send_bytes(STAGE + name.encode())

    def send(self, response: Response) -> None:
        """End a call."""
        self.pipe.send_bytes(RESPONSE + pack_response(response))

    def send_error(self, error: BenchmarkError) -> None:
        """End a call that failed."""
        self.pipe.send_bytes(ERROR + pack_error(error))

    def _number(self, names: Sequence[str | int]) -> int:
        self.pipe.send_bytes(KEY + json.dumps(list(names)).encode())
        return int(self.pipe.recv_bytes())


def child_main(pipe: Connection) -> None:
    """Give up all rights, make the handler, then answer calls until the runner closes the pipe."""
    with suppress(EOFError, ConnectionError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        determinism.enable()
        config: ProcessConfig = pickle.loads(pipe.recv_bytes())
        _close_descriptors(pipe.fileno())
        gaps = limits.confine(config.limits, config.readable, config.writable)
        connection = ChildConnection(pipe)
        handler: Any = None
        while True:
            name, arguments = pickle.loads(pipe.recv_bytes())
            try:
                with error_context(name):
                    handler = handler or pickle.loads(config.handler)(connection)
                    response: Response = getattr(handler, name)(*arguments)
                connection.send(response._replace(facts={**response.facts, "gaps": gaps}))
            except BenchmarkError as error:
                connection.send_error(error)
            except BaseException as error:  # SystemExit and the like
                message = f"ends its process ({type(error).__name__})"
                connection.send_error(BenchmarkError(message, hint="raise an exception"))


def _close_descriptors(pipe: int) -> None:
    """Keep the pipe alone; standard streams lead nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.closerange(3, pipe)
    os.closerange(pipe + 1, MAX_DESCRIPTORS)

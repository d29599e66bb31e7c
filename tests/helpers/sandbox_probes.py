"""A handler for sandboxed processes that tries what a process must not be able to do."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmark.core.isolation.protocol import Response

# Numbers of x86-64 for calls that the C library has no function for
NUMBERS = {"utime": 132, "utimes": 235, "futimesat": 261, "fchmodat2": 452, "setxattrat": 463, "file_setattr": 469}


class Probe:
    """Every method answers with what came of an attempt."""

    def __init__(self, connection: Any) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)

    def python(self, module: str, name: str, arguments: tuple[Any, ...]) -> Response:
        """Call a function of a Python module. Here an exception is the failure of the attempt."""
        function: Callable[..., Any] = getattr(__import__(module), name)
        return Response({"value": repr(function(*arguments))})

    def on_descriptor(self, module: str, name: str, path: str, arguments: tuple[Any, ...]) -> Response:
        """The same with an open file as the first argument."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return self.python(module, name, (descriptor, *arguments))
        finally:
            os.close(descriptor)

    def system_call(self, name: str, path: str) -> Response:
        """Make a system call past Python; answers with the name of the error, "" for success."""
        ctypes.set_errno(0)
        result = self.libc.syscall(NUMBERS[name], path.encode(), None, None, 0, 0)
        return Response({"error": errno.errorcode[ctypes.get_errno()] if result < 0 else ""})

    def descriptors(self, largest: int) -> Response:
        """All descriptors that are open."""
        numbers = []
        for number in range(largest):
            with suppress(OSError):
                fcntl.fcntl(number, fcntl.F_GETFD)
                numbers.append(number)
        return Response({"open": numbers})

    def change_module(self, module: str, name: str, path: str) -> Response:
        """Empty a list of the sandbox's own modules, then try what it stands for."""
        __import__(module)
        for value in ((), {}, None):
            setattr(__import__(module, fromlist=[name]), name, value)
        Path(path).chmod(0o777)
        return Response({})

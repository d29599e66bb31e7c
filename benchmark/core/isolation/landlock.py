"""Landlock: which files a process may open, by the kernel. Source: linux/landlock.h, versions 1 to 6."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

CREATE, ADD, RESTRICT = 444, 445, 446  # numbers of the system calls, the same on every processor
VERSION, BENEATH = 1, 1
EXECUTE, READ_FILE, READ_FOLDER = 1 << 0, 1 << 2, 1 << 3
FILES = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # all rights on files, by version
PORTS = 0b11  # bind and connect over TCP, from version 4
SCOPES = 0b11  # abstract sockets and signals to processes outside, from version 6

_LIBC = ctypes.CDLL(None, use_errno=True)


class _Rules(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("ports", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """The kernel's version of Landlock, 0 if it has none."""
    return max(0, _call(CREATE, None, 0, VERSION))


def restrict(readable: Sequence[Path], writable: Sequence[Path], listed: Sequence[Path] = ()) -> list[str]:
    """Limit which files may be opened, for good.

    readable: files, and folders whose files may be read
    writable: folders beneath which everything is allowed
    listed: folders that may be listed
    Returns what the kernel cannot enforce.
    """
    kernel = version()
    if not kernel:
        return ["files (no Landlock)"]
    files = FILES[max(number for number in FILES if number <= kernel)]
    rules = _Rules(files, PORTS if kernel >= 4 else 0, SCOPES if kernel >= 6 else 0)
    size = 24 if kernel >= 6 else 16 if kernel >= 4 else 8
    ruleset = _checked(_call(CREATE, ctypes.byref(rules), size, 0))
    try:
        _allow(ruleset, readable, EXECUTE | READ_FILE | READ_FOLDER)
        _allow(ruleset, writable, files)
        _allow(ruleset, listed, READ_FOLDER)
        _checked(_call(RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)
    return [] if kernel >= 6 else ["signals to other processes (Landlock is older than version 6)"]


def _allow(ruleset: int, paths: Iterable[Path], rights: int) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = rights if stat.S_ISDIR(os.fstat(folder).st_mode) else rights & ~READ_FOLDER
            rule = _Beneath(allowed, folder)
            try:
                _checked(_call(ADD, ruleset, BENEATH, ctypes.byref(rule), 0))
            finally:
                os.close(folder)


def _call(number: int, *arguments: object) -> int:
    return int(_LIBC.syscall(number, *arguments))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from benchmark.core.errors import BenchmarkError


def write_atomic(path: Path, data: bytes | str, sync: bool = True) -> None:
    """Write a file so that a reader sees the old one or the new one.

    Args:
        path: The file.
        data: Its content; text is written as UTF-8.
        sync: Whether this must also hold after a power failure.

    Raises:
        BenchmarkError: If the disk refuses; the old file then stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, sync) as file:
            file.write(data.encode() if isinstance(data, str) else data)
    except OSError as error:
        hint = "free some space or choose another folder, then repeat the command"
        raise BenchmarkError(f"cannot be written ({error.strerror})", where=str(path), hint=hint, user=False) from error


@contextmanager
def replacing(path: Path, sync: bool = True) -> Iterator[BinaryIO]:
    """A file to write, which takes its name when the block ends; OSError if the disk refuses."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(_exclusive(temporary), "wb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
        if sync:
            sync_path(path.parent)
    finally:
        with suppress(OSError):  # a second error would hide the first
            temporary.unlink(missing_ok=True)


def _exclusive(path: Path) -> int:
    """A descriptor of a new file that is nobody else's: not of a link, nor of what stood there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:  # of a killed process that had this number, or put there: the name goes, not its target
        path.unlink()
        return os.open(path, flags, 0o666)


def sync_path(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove temporary files of killed processes; those of running processes stay. `name` may be a pattern."""
    for path in folder.glob(f".{name}.tmp"):
        if not _is_running(path.name.split(".")[-2]):
            path.unlink(missing_ok=True)


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True

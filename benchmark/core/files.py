"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from benchmark.core.errors import BenchmarkError


def write_atomic(path: Path, data: bytes | str, sync: bool = True) -> None:
    """Write a file so that a reader sees the old one or the new one.

    data: text is written as UTF-8
    sync: also after a power failure
    Raises BenchmarkError if the disk refuses; the old file then stays.
    """
    content = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        hint = "free some space or choose another folder, then repeat the command"
        raise BenchmarkError(f"cannot be written ({error.strerror})", where=str(path), hint=hint, user=False) from error
    finally:
        with suppress(OSError):  # of what refused already
            temporary.unlink(missing_ok=True)

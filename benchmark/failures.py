"""Any failure as one line for a person and an exit code: 2 for a mistake of the user, 1 for a failed run."""

from __future__ import annotations

import errno

from benchmark.core.errors import BenchmarkError


def explain(error: BaseException) -> tuple[str, int]:
    """The line, without the program's name, and the exit code."""
    match error:
        case BenchmarkError():
            return str(error), 2 if error.user else 1
        case KeyboardInterrupt():
            return "interrupted: the same command resumes", 1
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            where = error.filename or "the folder of the records or of the cache"
            return f"{where}: the disk is full; free some space, then repeat the command", 1
        case MemoryError():
            return "not enough memory; fewer --workers need less", 1
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{text}; run again with --debug for the traceback", 1

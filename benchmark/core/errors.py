"""The exceptions whose message is meant for people."""

from __future__ import annotations

import errno
import os
import traceback
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
INSTALLED = {"site-packages", "dist-packages", os.path.basename(os.path.dirname(os.__file__))}


class BenchmarkError(Exception):
    """A failure that says what, where and what to do, in one line.

    Args:
        message: What went wrong, with the value that was wrong.
        where: Stage, client, file or path in a tree; "" if the message names it.
        hint: What to do about it.
        user: True for a mistake of the user (exit code 2), False for a failed run (exit code 1).
    """

    def __init__(self, message: str, *, where: str = "", hint: str = "", user: bool = True) -> None:
        super().__init__(message, where, hint, user)
        self.message, self.where, self.hint, self.user = message, where, hint, user

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.message, self.where, self.hint, self.user)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        text = f"{text}; {self.hint}" if self.hint else text
        return " ".join(printable(text).split())


def printable(text: str) -> str:
    """Text without characters that steer a terminal or turn the direction of writing; "?" stands for them."""
    return "".join("?" if unicodedata.category(sign) in ("Cc", "Cf", "Cs") and sign not in " \n\t" else sign
                   for sign in text)  # fmt: skip


def _rebuild(message: str, where: str, hint: str, user: bool) -> BenchmarkError:
    return BenchmarkError(message, where=where, hint=hint, user=user)


def not_installed(package: str, extra: str) -> BenchmarkError:
    """What to raise where a package of an extra is missing."""
    return BenchmarkError(f"{package} is not installed", hint=f"install it: pip install 'fedrepro[{extra}]'")


class Diverged(BenchmarkError):
    """A loss, an upload or a logit that is not finite: the cell ends with status `diverged`."""

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(message, where=where, user=False)

    def __reduce__(self) -> tuple[object, ...]:
        return _diverged, (self.message, self.where)


def _diverged(message: str, where: str) -> Diverged:
    return Diverged(message, where=where)


@contextmanager
def error_context(where: str, *, override: bool = False) -> Iterator[None]:
    """Turn whatever is raised within into a BenchmarkError with the place, and the file and line that raised it.

    It is the fault of a method or of a registered part only if its file had a hand in it.

    Args:
        where: The place: stage, round, client.
        override: A BenchmarkError that is raised within gets the place as well; without it, it passes as it is.
    """
    try:
        yield
    except BenchmarkError as error:
        if override:
            error.where = where
        raise
    except Exception as error:
        frame = _own_frame(error)
        place = f" ({Path(frame.filename).name}, line {frame.lineno})" if frame else ""
        hint = f"fix {Path(frame.filename).name}" if frame else "no method raised this; --debug shows the traceback"
        message = f"{type(error).__name__}: {error}{place}"
        raise BenchmarkError(message, where=where, hint=hint, user=False) from error


def _own_frame(error: Exception) -> traceback.FrameSummary | None:
    """The innermost line of the traceback outside of this package and of installed ones; None if there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if PACKAGE not in path.parents and not INSTALLED.intersection(path.parts) and path.is_absolute():
            return frame
    return None


def explain(error: BaseException) -> tuple[str, int]:
    """The line to print about an exception, without the program's name, and the exit code."""
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
    text = " ".join(printable(f"{type(error).__name__}: {error}").split())
    return f"{text}; run again with --debug for the traceback", 1

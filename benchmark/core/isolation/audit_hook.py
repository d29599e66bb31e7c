"""What a method's code reaches for outside of its arguments: noted and refused by Python's audit events.

Whoever writes Python can get round this; the kernel's limits of `sandbox` hold all the same. This names the attempt.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any

from benchmark.core.errors import BenchmarkError

REFUSED = ("open", "socket.", "subprocess.", "os.", "shutil.", "ctypes.", "mmap.", "_thread.", "signal.", "resource.",
           "gc.get_", "sys._current_frames", "tempfile.", "pty.", "fcntl.", "syslog.")  # fmt: skip
FRAMES = ("sys._getframe", "object.__getattr__")  # libraries use them as well: refused to a method's own code
TRUSTED = ("<frozen importlib", "linecache.py")  # Python's own reading of source
OUTSIDE = "a method opens no files and connections and starts no processes and threads: use what it is handed"
Note = Callable[[str], None]


class Refused(BenchmarkError):
    """Ends a call that reaches outside; the attempt is noted already."""


_GUARDS: list[tuple[Note, str]] = []  # the calls under way, the innermost last
_looking = False  # the hook's own look at frames is an event as well


def under_way() -> str:
    """The method's call that is under way, "" if none is."""
    return _GUARDS[-1][1] if _GUARDS else ""


@contextmanager
def guarded(stage: str, note: Note) -> Iterator[None]:
    """Whatever the code within reaches for is handed to `note` in words, and refused."""
    _install()
    _GUARDS.append((note, stage))
    try:
        yield
    finally:
        _GUARDS.pop()


def is_method(module: str) -> bool:
    """Whether code of this module belongs to a method."""
    return module.startswith(("algorithms.", "submitted_"))


@cache
def _install() -> None:
    """Python cannot remove an audit hook: there is one, and it sleeps outside of a method's calls."""
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    global _looking
    if _looking or not _GUARDS or not event.startswith((*REFUSED, *FRAMES)):
        return
    _looking = True
    try:
        caller = sys._getframe(1)
        own = is_method(caller.f_globals.get("__name__", ""))
        allowed = not own if event.startswith(FRAMES) else _python_reads(caller)
    finally:
        _looking = False
    if allowed:
        return
    note, stage = _GUARDS[-1]
    named = [given for given in arguments if isinstance(given, str | bytes | int)]
    what = f"{event} {named[0]!r}" if named else event
    note(f"reaches outside ({what})")
    raise Refused(f"reaches outside ({what})", where=stage, hint=OUTSIDE, user=False)


def _python_reads(frame: FrameType | None) -> bool:
    """Whether it is Python that reads source, and no code of a method that is being imported."""
    while frame is not None and not is_method(frame.f_globals.get("__name__", "")):
        if frame.f_code.co_filename.startswith(TRUSTED[0]) or frame.f_code.co_filename.endswith(TRUSTED[1]):
            return True
        frame = frame.f_back
    return False

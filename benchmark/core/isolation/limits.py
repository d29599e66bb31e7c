"""What is taken from a process before a method's code runs in it: files, network, other processes, time, memory."""

from __future__ import annotations

import os
import resource
import site
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmark.core.isolation import landlock, seccomp

ROOT = Path(__file__).parents[3]
HOLDS_DATA = {"sklearn", "skimage", "seaborn", "vega_datasets"}  # installed packages that carry data sets
OPEN_FILES = 64
GIGABYTE = 1 << 30


@dataclass(frozen=True)
class Bounds:
    """seconds: of wall time for one answer, and of CPU time for all; memory: bytes beyond what a fresh process has.

    answer: bytes of one answer
    """

    seconds: float = 1800.0
    memory: int = 8 * GIGABYTE
    answer: int = 4 * GIGABYTE


def confine(bounds: Bounds, readable: tuple[Path, ...] = (), writable: tuple[Path, ...] = ()) -> list[str]:
    """Give up everything that a method has no business with, for good; what this system cannot enforce, in words.

    readable: files that may be read beside installed code; writable: folders for checkpoints, files of the engine
    """
    os.environ.clear()
    os.chdir(writable[0] if writable else "/")
    _limit(resource.RLIMIT_CPU, int(bounds.seconds) + 1)
    _limit(resource.RLIMIT_AS, _mapped() + bounds.memory)
    _limit(resource.RLIMIT_FSIZE, GIGABYTE if writable else 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_CORE, 0)
    if sys.platform != "linux":
        return ["files", "system calls"]
    calls = seccomp.restrict  # the last one: setting up the files needs calls that it refuses
    _privileges()
    return landlock.restrict([*code(), *readable], writable, folders()) + calls()


@cache
def folders() -> tuple[Path, ...]:
    """Where Python looks for code; it lists them anew whenever something in there has changed."""
    places = {Path(folder) for folder in [*site.getsitepackages(), *sys.path] if Path(folder).name == "site-packages"}
    library = Path(os.__file__).parent
    return tuple(folder for folder in (ROOT, library, *sorted(places)) if folder.is_dir())


@cache
def code() -> tuple[Path, ...]:
    """Installed code: a method may import what it has not imported yet."""
    found = [ROOT / "benchmark", ROOT / "algorithms"]
    for folder in folders()[1:]:
        found += _without_data(folder)
    return tuple(found)


def _without_data(folder: Path) -> list[Path]:
    """A folder, or its entries without the packages that carry data sets."""
    inner = folder / "site-packages"
    if not any((place / name).exists() for place in (folder, inner) for name in HOLDS_DATA):
        return [folder]
    left_out = {"site-packages", "dist-packages", "__pycache__", *HOLDS_DATA}
    return [entry for entry in folder.iterdir() if entry.name not in left_out and entry.suffix != ".dist-info"]


def _limit(kind: int, value: int) -> None:
    with suppress(ValueError, OSError):  # a stricter limit holds already
        resource.setrlimit(kind, (value, value))


def _mapped() -> int:
    """Address space in use, in bytes."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 4 * GIGABYTE


def _privileges() -> None:
    """A process without privileges may confine itself only if it gives up gaining any."""
    import ctypes

    ctypes.CDLL(None).prctl(seccomp.NO_NEW_PRIVILEGES, 1, 0, 0, 0)

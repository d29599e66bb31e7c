"""Takes from a process what a method has no need of: files, network, other processes, time and memory."""

from __future__ import annotations

import ctypes
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
NO_NEW_PRIVILEGES = 38  # of prctl
GIGABYTE = 1 << 30


@dataclass(frozen=True)
class Limits:
    """Limits of one process.

    seconds: of wall time for one call, and of CPU time for all
    memory: bytes beyond what a fresh process has
    response: bytes of one response
    """

    seconds: float = 1800.0
    memory: int = 8 * GIGABYTE
    response: int = 4 * GIGABYTE


def confine(limits: Limits, readable: tuple[Path, ...] = (), writable: tuple[Path, ...] = ()) -> list[str]:
    """Give up everything that a method has no need of, for good.

    readable: files that may be read besides installed code
    writable: folders that may be written to
    Returns what this system cannot enforce, in words.
    """
    os.environ.clear()
    os.chdir(writable[0] if writable else "/")
    _limit(resource.RLIMIT_CPU, int(limits.seconds) + 1)
    _limit(resource.RLIMIT_AS, _mapped() + limits.memory)
    _limit(resource.RLIMIT_FSIZE, GIGABYTE if writable else 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_CORE, 0)
    if sys.platform != "linux":
        return ["files", "system calls"]
    _give_up_privileges()
    gaps = landlock.restrict([*code(), *readable], writable, folders())
    return gaps + seccomp.restrict(bool(writable))  # the last one: what is above needs calls that it refuses


@cache
def folders() -> tuple[Path, ...]:
    """Folders in which Python looks for modules; it lists them again when they have changed."""
    packages = {Path(folder) for folder in [*site.getsitepackages(), *sys.path] if Path(folder).name == "site-packages"}
    library = Path(os.__file__).parent
    return tuple(folder for folder in (ROOT, library, *sorted(packages)) if folder.is_dir())


@cache
def code() -> tuple[Path, ...]:
    """Files and folders of installed code; of algorithms/ the methods alone, no data beside them."""
    paths = [ROOT / "benchmark", *sorted((ROOT / "algorithms").glob("*.py"))]
    for folder in folders()[1:]:
        paths += _without_data(folder)
    return tuple(paths)


def _without_data(folder: Path) -> list[Path]:
    """A folder, or its entries without the packages that carry data sets."""
    inner = folder / "site-packages"
    if not any((parent / name).exists() for parent in (folder, inner) for name in HOLDS_DATA):
        return [folder]
    left_out = {"site-packages", "dist-packages", "__pycache__", *HOLDS_DATA}
    return [entry for entry in folder.iterdir() if entry.name not in left_out and entry.suffix != ".dist-info"]


def _limit(kind: int, value: int) -> None:
    with suppress(ValueError, OSError):  # a stricter limit holds already
        resource.setrlimit(kind, (value, value))


def _mapped() -> int:
    """Address space in use, in bytes."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    except OSError:
        return 4 * GIGABYTE


def _give_up_privileges() -> None:
    """The kernel lets a process without privileges confine itself only if it gives up gaining any."""
    ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)

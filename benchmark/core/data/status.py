"""What data are there, and the one command that gets what is not. Plain data for the command line."""

from __future__ import annotations

from typing import Any

from benchmark.core.data import cache, sources
from benchmark.core.data.loading import fetch
from benchmark.core.data.manifest import facts, manifest
from benchmark.core.errors import BenchmarkError


def status() -> list[dict[str, Any]]:
    """One row per dataset; reads no pixels.

    name; state: `cached`, `available` (a source has it, the first run decodes it), `damaged` or `missing`; sources:
    those that have it now; origin: the source it was decoded from; bytes: decoded size; command: what gets it, None if
    cached; note: what a person should know
    """
    return [_row(name) for name in manifest()]


def get(name: str, download: bool = False) -> dict[str, Any]:
    """Decode a dataset again from its first source, or download its archive; returns its row of the status."""
    fetch(name, download)
    return _row(name)


def _row(name: str) -> dict[str, Any]:
    known = facts(name)
    found = sources.find(name)
    row: dict[str, Any] = {
        "name": name,
        "state": "available" if found else "missing",
        "sources": found,
        "origin": None,
        "bytes": known.bytes,
        "command": f"fedrepro data get {name}" if found else sources.commands(name)[0],
        "note": "" if known.complete else "no fingerprint is known yet: only counts are checked",
    }
    try:
        cached = cache.read(name, known, verify=False)
    except BenchmarkError as error:
        return row | {"state": "damaged", "note": error.message}
    if cached is None:
        return row
    sizes = cached.receipt.sizes.values()
    return row | {"state": "cached", "origin": cached.receipt.source, "bytes": sum(sizes), "command": None}

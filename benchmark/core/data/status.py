"""Which datasets are at hand, and the command that gets each of the others. Plain data for the command line."""

from __future__ import annotations

from typing import Any

from benchmark.core.data import cache, sources
from benchmark.core.data.manifest import dataset_info, manifest
from benchmark.core.data.named_datasets import fetch
from benchmark.core.errors import BenchmarkError


def status() -> list[dict[str, Any]]:
    """The state of every dataset; reads no pixels.

    Returns:
        Rows with `name`; `state`: "cached", "available" (a source has it, the first run decodes it), "damaged" or
        "missing"; `sources` that have it; `origin`, the source it was decoded from; decoded size in `bytes`; the
        `command` that gets it, None if cached; and a `note`.
    """
    return [_row(name) for name in manifest()]


def get(name: str, download: bool = False) -> dict[str, Any]:
    """Decode a dataset again from its first source, or download its archive; returns its row of the status."""
    fetch(name, download)
    return _row(name)


def _row(name: str) -> dict[str, Any]:
    info = dataset_info(name)
    available = sources.find(name)
    row: dict[str, Any] = {
        "name": name,
        "state": "available" if available else "missing",
        "sources": available,
        "origin": None,
        "bytes": info.bytes,
        "command": f"fedrepro data get {name}" if available else sources.commands(name)[0],
        "note": "" if info.complete else "no fingerprint is known yet: only counts are checked",
    }
    try:
        cached = cache.read(name, info, verify=False)
    except BenchmarkError as error:
        return row | {"state": "damaged", "note": error.message}
    if cached is None:
        return row
    sizes = cached.metadata.sizes.values()
    return row | {"state": "cached", "origin": cached.metadata.source, "bytes": sum(sizes), "command": None}

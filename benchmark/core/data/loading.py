"""Datasets as arrays: decoded once from the first source that has them, verified, cached, then memory-mapped."""

from __future__ import annotations

import numpy as np

from benchmark.core import registry
from benchmark.core.data import cache, sources
from benchmark.core.data.dataset import Dataset, Split
from benchmark.core.data.manifest import Arrays, Facts, canonical, check, facts, registered
from benchmark.core.errors import BenchmarkError


def load(name: str, verify: bool = True) -> Dataset:
    """A dataset from the cache, or decoded into it from the first source that has it.

    verify: hash all cached bytes; workers of a process that did so pass False and check only presence and size.
    Raises BenchmarkError for an unknown, missing or damaged dataset.
    """
    known = facts(name)
    if own := registry.find("dataset", name):
        rows, prints = _verified(name, known, registered(own)[1], "registered", "")
        return _dataset(name, known, rows, prints, "registered")
    cached = cache.read(name, known, verify)
    return _from_cache(name, known, cached) if cached else fetch(name)


def fetch(name: str, download: bool = False) -> Dataset:
    """Decode from a source, check against the manifest and replace what the cache holds.

    download: let torchvision fetch its archive if no other source has the dataset
    """
    known = facts(name)
    source = next((source for source in sources.SOURCES if source.has(name)), None)
    if source is not None and not (download and source.name == "torchvision"):
        arrays, origin, remedy = source.read(name), source.name, source.remedy
    elif download:
        arrays, origin, remedy = sources.download(name), "torchvision", f"delete what is in {sources.archives()}"
    else:
        asked = ", ".join(source.name for source in sources.SOURCES)
        raise BenchmarkError(f"{name} is in no source ({asked})", hint=f"get it: {sources.commands(name)[0]}")
    rows, prints = _verified(name, known, arrays, origin, remedy)
    label = origin if known.complete else f"{origin} (no fingerprint is known yet: only counts were checked)"
    cache.write(name, label, rows, prints)
    cached = cache.read(name, known, verify=False)
    assert cached is not None
    return _from_cache(name, known, cached)


def _verified(name: str, known: Facts, arrays: Arrays, origin: str, remedy: str) -> tuple[Arrays, dict[str, str]]:
    rows = {split: canonical(*arrays[split]) for split in known.splits}
    prints = {}
    for split, (images, labels) in rows.items():
        try:
            prints[split] = check(known, split, images, labels)
        except BenchmarkError as error:
            where = f"{name} from {origin}"
            raise BenchmarkError(error.message, where=where, hint=remedy, user=False) from error
    return rows, prints


def _from_cache(name: str, known: Facts, cached: cache.Cached) -> Dataset:
    return _dataset(name, known, cached.arrays, cached.receipt.fingerprints, cached.receipt.source)


def _dataset(name: str, known: Facts, arrays: Arrays, prints: dict[str, str], source: str) -> Dataset:
    coarse = None if known.coarse is None else np.array(known.coarse)

    def split(which: str) -> Split:
        images, labels = arrays[which]
        labels = labels.astype(np.int64)
        return Split(images, labels, None if coarse is None else coarse[labels])

    return Dataset(
        name=name,
        train=split("train"),
        test=split("test"),
        classes=known.classes,
        mean=known.mean,
        std=known.std,
        fingerprints=prints,
        source=source,
        superclasses=known.coarse_classes or (),
    )

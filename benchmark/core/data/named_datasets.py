"""The datasets of the suite, and registered ones: from the cache, or decoded from the first source that has them."""

from __future__ import annotations

import logging

import numpy as np

from benchmark.core import registry
from benchmark.core.data import cache, sources
from benchmark.core.data.dataset import Dataset, Split
from benchmark.core.data.manifest import DatasetInfo, canonical_order, check, dataset_info, registered
from benchmark.core.data.registered_data import Arrays
from benchmark.core.errors import BenchmarkError

log = logging.getLogger(__name__)


def load(name: str, verify: bool = True) -> Dataset:
    """Load a dataset from the cache, or decode it into the cache from the first source that has it.

    Args:
        name: The dataset.
        verify: Whether to hash all cached bytes; otherwise only presence and size of the files are checked.

    Raises:
        BenchmarkError: If the dataset is unknown, missing or damaged.
    """
    info = dataset_info(name)
    if function := registry.find("dataset", name):
        rows, fingerprints = _verified(name, info, registered(function)[1], "registered", "")
        return _dataset(name, info, rows, fingerprints, "registered")
    cached = cache.read(name, info, verify)
    return _from_cache(name, info, cached) if cached else fetch(name)


def fetch(name: str, download: bool = False) -> Dataset:
    """Decode a dataset from its first source, check it against the manifest and replace it in the cache.

    Args:
        name: The dataset.
        download: Whether torchvision may download its archive if no other source has the dataset.

    Raises:
        BenchmarkError: If no source has the dataset, or what it has is not what the manifest asks for.
    """
    info = dataset_info(name)
    source = next((source for source in sources.SOURCES if source.has(name)), None)
    if source is not None and not (download and source.name == "torchvision"):
        arrays, origin, fix = source.read(name), source.name, source.fix
    elif download:
        arrays, origin, fix = sources.download(name), "torchvision", f"delete what is in {sources.archives()}"
    else:
        asked = ", ".join(source.name for source in sources.SOURCES)
        raise BenchmarkError(f"{name} is in no source ({asked})", hint=f"get it: {sources.commands(name)[0]}")
    log.info("%s: decoded from %s", name, origin)
    rows, fingerprints = _verified(name, info, arrays, origin, fix)
    label = origin if info.complete else f"{origin} (no fingerprint is known yet: only counts were checked)"
    cache.write(name, label, rows, fingerprints)
    cached = cache.read(name, info, verify=False)
    assert cached is not None
    return _from_cache(name, info, cached)


def _verified(name: str, info: DatasetInfo, arrays: Arrays, origin: str, fix: str) -> tuple[Arrays, dict[str, str]]:
    rows = {split: canonical_order(*arrays[split]) for split in info.splits}
    fingerprints = {}
    for split, (images, labels) in rows.items():
        try:
            fingerprints[split] = check(info, split, images, labels)
        except BenchmarkError as error:
            where = f"{name} from {origin}"
            raise BenchmarkError(error.message, where=where, hint=fix, user=False) from error
    return rows, fingerprints


def _from_cache(name: str, info: DatasetInfo, cached: cache.CachedArrays) -> Dataset:
    return _dataset(name, info, cached.arrays, cached.metadata.fingerprints, cached.metadata.source)


def _dataset(name: str, info: DatasetInfo, arrays: Arrays, fingerprints: dict[str, str], source: str) -> Dataset:
    coarse = None if info.coarse is None else np.array(info.coarse)

    def split(which: str) -> Split:
        images, labels = arrays[which]
        labels = labels.astype(np.int64)
        return Split(images, labels, None if coarse is None else coarse[labels])

    return Dataset(
        name=name,
        train=split("train"),
        test=split("test"),
        classes=info.classes,
        mean=info.mean,
        std=info.std,
        fingerprints=fingerprints,
        source=source,
        superclasses=info.coarse_classes or (),
    )

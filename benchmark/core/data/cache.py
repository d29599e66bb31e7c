"""Decoded datasets on disk: array files of every split, and cache.json, written last, with their fingerprints."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.core import user_paths
from benchmark.core.data.manifest import DatasetInfo, fingerprint
from benchmark.core.data.registered_data import Arrays
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import remove_leftovers, replacing


class CacheMetadata(BaseModel):
    """The content of cache.json.

    Attributes:
        source: The source that the data were decoded from.
        fingerprints: Fingerprint of each split.
        sizes: Bytes of each file.
        sha256: Hash of the other fields; "" in files that are older than this field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    fingerprints: dict[str, str]
    sizes: dict[str, int]
    sha256: str = ""

    def with_checksum(self) -> CacheMetadata:
        """A copy with the hash of its other fields."""
        text = self.model_dump_json(exclude={"sha256"})
        return self.model_copy(update={"sha256": hashlib.sha256(text.encode()).hexdigest()})


@dataclass(frozen=True, eq=False)
class CachedArrays:
    """Arrays of the cache: images, memory-mapped read-only, and labels, both uint8."""

    metadata: CacheMetadata
    arrays: Arrays


def root() -> Path:
    """The folder of all that is cached: FEDREPRO_CACHE, by default ~/.cache/fedrepro."""
    return user_paths.expanded(os.environ.get("FEDREPRO_CACHE") or "~/.cache/fedrepro", "FEDREPRO_CACHE")


def folder(name: str) -> Path:
    """The folder of a cached dataset."""
    return root() / "data" / name


def write(name: str, source: str, arrays: Arrays, fingerprints: dict[str, str]) -> None:
    """Replace a cached dataset by rows in canonical order; readers see old files or new ones, never a part of one."""
    target = folder(name)
    try:
        target.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target)
        for split, (images, labels) in arrays.items():
            for kind, array in (("images", images), ("labels", labels.astype(np.uint8))):
                with replacing(target / f"{split}-{kind}.npy") as file:
                    np.save(file, array)
        sizes = {path.name: path.stat().st_size for path in (target / name for name in _files(arrays))}
        metadata = CacheMetadata(source=source, fingerprints=fingerprints, sizes=sizes).with_checksum()
        text = metadata.model_dump_json(indent=1) + "\n"
        with replacing(target / "cache.json") as file:
            file.write(text.encode())
    except OSError as error:
        hint = "free some space or set FEDREPRO_CACHE to another folder"
        message = f"{name} cannot be cached: {error.strerror or error}"
        raise BenchmarkError(message, where=str(target), hint=hint, user=False) from error


def read(name: str, info: DatasetInfo, verify: bool) -> CachedArrays | None:
    """Read a cached dataset.

    Args:
        name: The dataset.
        info: What it must be.
        verify: Whether to hash all bytes; otherwise only presence and size of the files are checked.

    Returns:
        The arrays; None if the dataset was never cached.

    Raises:
        BenchmarkError: If files are missing, truncated, changed or of another version.
    """
    metadata = _metadata(name)
    if metadata is None:
        return None
    for split, expected in info.splits.items():
        if expected.fingerprint not in (None, metadata.fingerprints.get(split)):
            raise _damaged(name, "cache.json", "is of another version: not the data that the manifest asks for")
    arrays = {split: _open(name, split, metadata, info) for split in info.splits}
    for split, (images, labels) in arrays.items() if verify else ():
        if fingerprint(images, labels) != metadata.fingerprints[split]:
            raise _damaged(name, f"{split}-images.npy", "or its labels have changed bytes")
    return CachedArrays(metadata, arrays)


def _open(name: str, split: str, metadata: CacheMetadata, info: DatasetInfo) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (_array(name, f"{split}-{kind}.npy", metadata) for kind in ("images", "labels"))
    n = info.splits[split].n
    for kind, array, shape in (("images", images, (n, *info.shape)), ("labels", labels, (n,))):
        if array.shape != shape or array.dtype != np.uint8:
            raise _damaged(name, f"{split}-{kind}.npy", f"holds {array.dtype} {array.shape}, expected uint8 {shape}")
    return images, np.asarray(labels)


def _array(name: str, file: str, metadata: CacheMetadata) -> np.ndarray:
    path = folder(name) / file
    if not path.is_file():
        raise _damaged(name, file, "is missing")
    size, expected = path.stat().st_size, metadata.sizes.get(file)
    if size != expected:
        how = "is truncated" if size < (expected or 0) else "is not the file that was written"
        if twin := next((other for other, bytes_ in metadata.sizes.items() if bytes_ == size), None):
            how = f"holds what belongs into {twin}"
        raise _damaged(name, file, f"{how}: {size} bytes, expected {expected}")
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except (ValueError, OSError, SyntaxError) as error:
        raise _damaged(name, file, f"has a changed header ({error})") from error


def _metadata(name: str) -> CacheMetadata | None:
    path = folder(name) / "cache.json"
    try:
        data = path.read_bytes()
        metadata = CacheMetadata.model_validate_json(data)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(name, path.name, f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        how = "has changed bytes" if data.endswith(b"}\n") else "is truncated"
        raise _damaged(name, path.name, how) from error
    if metadata.sha256 and metadata != metadata.with_checksum():
        raise _damaged(name, path.name, "has changed bytes (its checksum does not match)")
    return metadata


def _files(arrays: Arrays) -> list[str]:
    return [f"{split}-{kind}.npy" for split in arrays for kind in ("images", "labels")]


def _damaged(name: str, file: str, how: str) -> BenchmarkError:
    hint = f"decode it again: fedrepro data get {name}"
    return BenchmarkError(f"the cached {name} is damaged: {file} {how}", where=str(folder(name)), hint=hint, user=False)

"""Decoded datasets on disk: array files per split, and cache.json, written last, that vouches for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.core.data.manifest import Arrays, Facts, fingerprint
from benchmark.core.errors import BenchmarkError


class Receipt(BaseModel):
    """What cache.json says: where the data came from, fingerprint per split, size in bytes per file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    fingerprints: dict[str, str]
    sizes: dict[str, int]


@dataclass(frozen=True, eq=False)
class Cached:
    """Arrays as they lie in the cache, images memory-mapped read-only, labels uint8, with their receipt."""

    receipt: Receipt
    arrays: Arrays


def folder(name: str) -> Path:
    """Where a dataset is cached: FEDBENCH_CACHE, by default ~/.cache/fedbench."""
    root = os.environ.get("FEDBENCH_CACHE") or "~/.cache/fedbench"
    return Path(root).expanduser() / "data" / name


def write(name: str, source: str, arrays: Arrays, fingerprints: dict[str, str]) -> None:
    """Replace the cached dataset by canonical rows; readers see the old files or the new ones, never a part."""
    target = folder(name)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for split, (images, labels) in arrays.items():
            for kind, array in (("images", images), ("labels", labels.astype(np.uint8))):
                _replace(target / f"{split}-{kind}.npy", partial(np.save, arr=array))
        sizes = {path.name: path.stat().st_size for path in (target / file for file in _files(arrays))}
        receipt = Receipt(source=source, fingerprints=fingerprints, sizes=sizes)
        text = receipt.model_dump_json(indent=1) + "\n"
        _replace(target / "cache.json", lambda file: file.write(text.encode()))
    except OSError as error:
        hint = "free some space or set FEDBENCH_CACHE to another folder"
        message = f"{name} cannot be cached: {error.strerror or error}"
        raise BenchmarkError(message, where=str(target), hint=hint, user=False) from error


def read(name: str, facts: Facts, verify: bool) -> Cached | None:
    """The cached dataset, None if it was never cached.

    verify: hash every byte (once per process tree is enough); otherwise only presence and size are checked.
    Raises BenchmarkError when files are missing, truncated or changed.
    """
    receipt = _receipt(name)
    if receipt is None:
        return None
    for split, known in facts.splits.items():
        if known.fingerprint not in (None, receipt.fingerprints.get(split)):
            raise _damaged(name, "cache.json", "does not hold the data that the manifest asks for")
    arrays = {split: _open(name, split, receipt, facts) for split in facts.splits}
    for split, (images, labels) in arrays.items() if verify else ():
        if fingerprint(images, labels) != receipt.fingerprints[split]:
            raise _damaged(name, f"{split}-images.npy", "or its labels have changed bytes")
    return Cached(receipt, arrays)


def _open(name: str, split: str, receipt: Receipt, facts: Facts) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (_array(name, f"{split}-{kind}.npy", receipt) for kind in ("images", "labels"))
    n = facts.splits[split].n
    for kind, array, shape in (("images", images, (n, *facts.shape)), ("labels", labels, (n,))):
        if array.shape != shape or array.dtype != np.uint8:
            raise _damaged(name, f"{split}-{kind}.npy", f"holds {array.dtype} {array.shape}, expected uint8 {shape}")
    return images, np.asarray(labels)


def _array(name: str, file: str, receipt: Receipt) -> np.ndarray:
    path = folder(name) / file
    if not path.is_file():
        raise _damaged(name, file, "is missing")
    found, expected = path.stat().st_size, receipt.sizes.get(file)
    if found != expected:
        how = "truncated" if found < (expected or 0) else "not the file that was written"
        raise _damaged(name, file, f"is {how}: {found} bytes, expected {expected}")
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except (ValueError, OSError, SyntaxError) as error:
        raise _damaged(name, file, f"has a changed header ({error})") from error


def _receipt(name: str) -> Receipt | None:
    path = folder(name) / "cache.json"
    try:
        return Receipt.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise _damaged(name, path.name, "cannot be read") from error


def _files(arrays: Arrays) -> list[str]:
    return [f"{split}-{kind}.npy" for split in arrays for kind in ("images", "labels")]


def _replace(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _damaged(name: str, file: str, how: str) -> BenchmarkError:
    hint = f"decode it again: fedbench data get {name}"
    return BenchmarkError(f"the cached {name} is damaged: {file} {how}", where=str(folder(name)), hint=hint, user=False)

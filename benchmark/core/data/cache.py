"""Decoded datasets on disk: array files per split, and cache.json, written last, that vouches for them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.core.data.manifest import Arrays, Facts, fingerprint
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import replacing, sweep


class Receipt(BaseModel):
    """What cache.json says: where the data came from, fingerprint per split, size in bytes per file.

    sha256: of the rest of it; receipts written before it existed lack it
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    fingerprints: dict[str, str]
    sizes: dict[str, int]
    sha256: str = ""

    def sealed(self) -> Receipt:
        """The same with its checksum."""
        text = self.model_dump_json(exclude={"sha256"})
        return self.model_copy(update={"sha256": hashlib.sha256(text.encode()).hexdigest()})


@dataclass(frozen=True, eq=False)
class Cached:
    """Arrays as they lie in the cache, images memory-mapped read-only, labels uint8, with their receipt."""

    receipt: Receipt
    arrays: Arrays


def root() -> Path:
    """Where everything is cached: FEDREPRO_CACHE, by default ~/.cache/fedrepro."""
    return Path(os.environ.get("FEDREPRO_CACHE") or "~/.cache/fedrepro").expanduser()


def folder(name: str) -> Path:
    """Where a dataset is cached."""
    return root() / "data" / name


def write(name: str, source: str, arrays: Arrays, fingerprints: dict[str, str]) -> None:
    """Replace the cached dataset by canonical rows; readers see the old files or the new ones, never a part."""
    target = folder(name)
    try:
        target.mkdir(parents=True, exist_ok=True)
        sweep(target)
        for split, (images, labels) in arrays.items():
            for kind, array in (("images", images), ("labels", labels.astype(np.uint8))):
                with replacing(target / f"{split}-{kind}.npy") as file:
                    np.save(file, array)
        sizes = {path.name: path.stat().st_size for path in (target / name for name in _files(arrays))}
        receipt = Receipt(source=source, fingerprints=fingerprints, sizes=sizes).sealed()
        text = receipt.model_dump_json(indent=1) + "\n"
        with replacing(target / "cache.json") as file:
            file.write(text.encode())
    except OSError as error:
        hint = "free some space or set FEDREPRO_CACHE to another folder"
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
            raise _damaged(name, "cache.json", "is of another version: not the data that the manifest asks for")
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
        how = "is truncated" if found < (expected or 0) else "is not the file that was written"
        if twin := next((other for other, size in receipt.sizes.items() if size == found), None):
            how = f"holds what belongs into {twin}"
        raise _damaged(name, file, f"{how}: {found} bytes, expected {expected}")
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except (ValueError, OSError, SyntaxError) as error:
        raise _damaged(name, file, f"has a changed header ({error})") from error


def _receipt(name: str) -> Receipt | None:
    path = folder(name) / "cache.json"
    try:
        data = path.read_bytes()
        receipt = Receipt.model_validate_json(data)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(name, path.name, f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        how = "has changed bytes" if data.endswith(b"}\n") else "is truncated"
        raise _damaged(name, path.name, how) from error
    if receipt.sha256 and receipt != receipt.sealed():
        raise _damaged(name, path.name, "has changed bytes (its checksum does not match)")
    return receipt


def _files(arrays: Arrays) -> list[str]:
    return [f"{split}-{kind}.npy" for split in arrays for kind in ("images", "labels")]


def _damaged(name: str, file: str, how: str) -> BenchmarkError:
    hint = f"decode it again: fedrepro data get {name}"
    return BenchmarkError(f"the cached {name} is damaged: {file} {how}", where=str(folder(name)), hint=hint, user=False)

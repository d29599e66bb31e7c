"""Packed mirrors: folders of lossless WebP sheets in uncompressed zip files, for machines without a network.

MANIFEST.json holds size and sha256 of every file; from format 2 on also the sha256 of its own entries.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, PositiveInt, ValidationError

from benchmark.core import user_paths
from benchmark.core.data.registered_data import Arrays
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import remove_leftovers, replacing

if TYPE_CHECKING:
    from benchmark.core.data.dataset import Dataset, Split

SHEET = 100
"""Images side by side in one sheet; WebP allows 16,383 pixels, so images up to 163 pixels wide can be packed."""

FORMAT = 2
ZIP_ENTRY, ZIP_END = 150, 100
"""Upper bounds in bytes of what a zip file adds per entry (two headers, a short name twice) and at its end."""


class PackedFile(BaseModel):
    """One file of a mirror, path relative to its folder."""

    path: str
    bytes: int
    sha256: str


class PackedSplit(BaseModel):
    """Shape is [n, height, width] for grey images, [n, height, width, 3] for colour."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt] | tuple[PositiveInt, PositiveInt, PositiveInt, Literal[3]]
    files: list[PackedFile]


class PackedDataset(BaseModel):
    """The part of a mirror's entry that reading needs."""

    labels_file: PackedFile
    splits: dict[str, PackedSplit]

    @property
    def files(self) -> list[PackedFile]:
        """All of them."""
        return [self.labels_file, *(file for split in self.splits.values() for file in split.files)]


def find() -> Path | None:
    """The mirror that FEDREPRO_MIRROR names; BenchmarkError if that is none."""
    value = os.environ.get("FEDREPRO_MIRROR")
    if not value:
        return None
    folder = user_paths.expanded(value, "FEDREPRO_MIRROR")
    if not (folder / "MANIFEST.json").is_file():
        hint = "set FEDREPRO_MIRROR to a folder written by `fedrepro data pack`, or unset it"
        raise BenchmarkError(f"FEDREPRO_MIRROR={value} holds no MANIFEST.json", hint=hint)
    return folder


def holds(folder: Path, name: str) -> bool:
    """Whether the mirror lists this dataset."""
    return name in _datasets(folder)


def read(folder: Path, name: str) -> Arrays:
    """Decode one dataset: rows in canonical order. Files are checked by size and sha256 before they are decoded."""
    try:
        packed = PackedDataset.model_validate(_datasets(folder)[name])
    except ValidationError as error:
        raise _unusable(folder, f"entry {name} is not valid: {error.errors()[0]['loc']}") from error
    with np.load(io.BytesIO(_verified(folder, packed.labels_file, packed)), allow_pickle=False) as file:
        labels = {split: file[split] for split in packed.splits if split in file}
    for split, entry in packed.splits.items():
        if split not in labels or labels[split].shape != entry.shape[:1]:
            raise _unusable(folder, f"{packed.labels_file.path} holds no {entry.shape[0]} labels of {split}")
    return {split: (_images(folder, entry, packed), labels[split]) for split, entry in packed.splits.items()}


def pack(dataset: Dataset, folder: Path, part_bytes: int = 20_000_000) -> list[Path]:
    """Add a dataset to a mirror.

    Args:
        dataset: The dataset.
        folder: The mirror, or the folder to make one of.
        part_bytes: Largest size of a zip file.

    Returns:
        The files written.

    Raises:
        BenchmarkError: If the disk refuses, or one sheet is larger than a zip file may be.
    """
    home = folder / dataset.name
    existing = _datasets(folder) if (folder / "MANIFEST.json").exists() else {}
    try:
        home.mkdir(parents=True, exist_ok=True)
        entry, written = _pack_dataset(dataset, home, part_bytes)
        datasets = {**existing, dataset.name: entry}
        content = {"format": FORMAT, "sha256": _sha256(datasets), "datasets": datasets}
        with replacing(folder / "MANIFEST.json") as file:
            file.write(json.dumps(content, indent=1).encode() + b"\n")
    except OSError as error:
        message = f"{dataset.name} cannot be packed: {error.strerror or error}"
        hint = "free some space or choose another folder"
        raise BenchmarkError(message, where=str(home), hint=hint, user=False) from error
    return [*written, folder / "MANIFEST.json"]


def _pack_dataset(dataset: Dataset, home: Path, part_bytes: int) -> tuple[dict[str, object], list[Path]]:
    splits = {"train": dataset.train, "test": dataset.test}
    labels: dict[str, Any] = {split: rows.labels.astype(np.uint8) for split, rows in splits.items()}
    for split, rows in splits.items():
        if rows.coarse is not None:
            labels[f"{split}_coarse"] = rows.coarse.astype(np.uint8)
    remove_leftovers(home)
    with replacing(home / "labels.npz") as file:
        np.savez(file, **labels)
    written, described = [home / "labels.npz"], dict[str, object]()
    for split, rows in splits.items():
        parts = _write_parts(home, split, _sheets(rows), part_bytes)
        described[split] = {
            "n": len(rows.labels),
            "shape": [*rows.images.shape[:3], *([3] if rows.images.shape[3] == 3 else [])],
            "class_counts": np.bincount(rows.labels, minlength=len(dataset.classes)).tolist(),
            "fingerprint": dataset.fingerprints[split],
            "files": [_describe(part) for part in parts],
        }
        written += parts
    entry = {"class_names": list(dataset.classes), "source": dataset.source, "splits": described}
    return {**entry, "labels_file": _describe(home / "labels.npz")}, written


def _sheets(rows: Split) -> Iterator[bytes]:
    """Encoded sheets; images of one class and similar brightness share one, which makes it smaller."""
    brightness = rows.images.mean(axis=(1, 2, 3))
    order = np.lexsort((brightness, rows.labels))
    for start in range(0, len(order), SHEET):
        images = rows.images[order[start : start + SHEET]]
        row = np.concatenate(list(np.broadcast_to(images, (*images.shape[:3], 3))), axis=1)
        file = io.BytesIO()
        Image.fromarray(row).save(file, format="WEBP", lossless=True, quality=60)
        yield file.getvalue()


def _write_parts(home: Path, split: str, sheets: Iterable[bytes], part_bytes: int) -> list[Path]:
    """Fill one uncompressed zip after the other."""
    parts: list[list[bytes]] = [[]]
    free = part_bytes
    for sheet in sheets:
        need = len(sheet) + ZIP_ENTRY
        if need > part_bytes - ZIP_END:
            message = f"one sheet takes {need} bytes, more than a part of {part_bytes}"
            raise BenchmarkError(message, hint="allow larger parts")
        if need > free - ZIP_END:
            parts.append([])
            free = part_bytes
        parts[-1].append(sheet)
        free -= need
    paths = [home / f"{split}-{k}.zip" for k in range(len(parts))]
    for path, part in zip(paths, parts, strict=True):
        with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for i, sheet in enumerate(part):
                archive.writestr(zipfile.ZipInfo(f"{i:04}.webp"), sheet)
    return paths


def _describe(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    return {"path": f"{path.parent.name}/{path.name}", "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _datasets(folder: Path) -> dict[str, object]:
    """The verified entries of MANIFEST.json."""
    try:
        data = (folder / "MANIFEST.json").read_bytes()
    except OSError as error:
        raise _unusable(folder, f"MANIFEST.json cannot be read ({error.strerror})") from error
    try:
        content = json.loads(data)
        format_, digest, datasets = content["format"], content.get("sha256"), dict(content["datasets"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        how = "has changed bytes" if data.endswith(b"}\n") else "is truncated"
        raise _unusable(folder, f"MANIFEST.json {how}: {type(error).__name__} {error}") from error
    if format_ not in (1, FORMAT):
        raise _unusable(folder, f"MANIFEST.json is of format version {format_}, this fedrepro reads up to {FORMAT}")
    if digest != (_sha256(datasets) if format_ == FORMAT else None):
        raise _unusable(folder, "MANIFEST.json has changed bytes (its checksum does not match)")
    return datasets


def _sha256(datasets: object) -> str:
    return hashlib.sha256(json.dumps(datasets, sort_keys=True).encode()).hexdigest()


def _verified(folder: Path, file: PackedFile, packed: PackedDataset) -> bytes:
    path = folder / file.path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise _unusable(folder, f"{file.path} is outside the mirror")
    if not path.is_file():
        raise _unusable(folder, f"{file.path} is missing")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest == file.sha256:
        return data
    for other in packed.files:
        if digest == other.sha256:
            raise _unusable(folder, f"{file.path} holds what belongs into {other.path}")
    if len(data) < file.bytes:
        raise _unusable(folder, f"{file.path} is truncated: {len(data)} bytes, expected {file.bytes}")
    raise _unusable(folder, f"{file.path} has changed bytes (sha256 differs)")


def _images(folder: Path, split: PackedSplit, packed: PackedDataset) -> np.ndarray:
    n, height, width, *colour = split.shape
    images, filled = np.empty((0, height, width, 3 if colour else 1), np.uint8), 0
    for file in split.files:
        data = _verified(folder, file, packed)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                cells = np.concatenate([_cells(archive.read(name), height, width) for name in archive.namelist()])
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise _unusable(folder, f"{file.path} holds no sheets of {height} x {width} images") from error
        if not filled:  # not before: a shape that no sheet has asks for memory that no machine has
            images = np.empty((n, *images.shape[1:]), np.uint8)
        images[filled : filled + len(cells)] = cells[: n - filled, ..., : images.shape[3]]
        filled += len(cells)
    if filled != n:
        raise _unusable(folder, f"its sheets hold {filled} images, expected {n}")
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    return images[sorted(range(n), key=digests.__getitem__)]


def _cells(sheet: bytes, height: int, width: int) -> np.ndarray:
    """The images of one sheet, row by row: uint8 [n, height, width, 3]."""
    pixels = np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB"))
    rows, columns = pixels.shape[0] // height, pixels.shape[1] // width
    grid = pixels.reshape(rows, height, columns, width, 3)
    return grid.swapaxes(1, 2).reshape(-1, height, width, 3)


def _unusable(folder: Path, what: str) -> BenchmarkError:
    hint = "copy the mirror again, or unset FEDREPRO_MIRROR to use another source"
    return BenchmarkError(f"the mirror is damaged: {what}", where=str(folder), hint=hint, user=False)

"""Datasets of one's own: a dataset file is read, checked, put in canonical order and cached."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmark.core.data import cache, image_readers, named_datasets, partition
from benchmark.core.data.array_checks import array_faults, split_faults
from benchmark.core.data.dataset import Dataset, Split
from benchmark.core.data.dataset_file import (
    Combined,
    Csv,
    DatasetFile,
    Folder,
    HuggingFace,
    Npz,
    Torchvision,
    parse_dataset_file,
    read_dataset_file,
)
from benchmark.core.data.image_readers import ALL, RawDataset, RawImages
from benchmark.core.data.manifest import DatasetInfo, canonical_permutation, fingerprint, measured_info
from benchmark.core.data.registered_data import Arrays
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key

HINT = "fix the data or the dataset file"
FORMAT = 1  # of the cached files


def load(path: Path) -> Dataset:
    """Load the dataset of a file, from the cache as long as neither it nor the images have changed.

    Raises:
        BenchmarkError: The file has mistakes, or the data do not fit; every misfit is named.
    """
    file = read_dataset_file(path)
    return _load(path.resolve(), _signature(file, path))


def info(path: Path) -> DatasetInfo:
    """What the dataset of a file is: as pinned in it, without the data, else as the data are."""
    file = read_dataset_file(path)
    return file.pinned or _measured(load(path))


def pinned_text(path: Path) -> str:
    """The text of a dataset file with a last section that says what its images are now."""
    before = path.read_text(encoding="utf-8").split("\npinned:")[0].rstrip("\n") + "\n"
    file = parse_dataset_file(before, path)
    facts = _measured(_decoded(file, path)).model_dump(mode="json", exclude_none=True)
    return before + yaml.safe_dump({"pinned": facts}, sort_keys=False, width=120, default_flow_style=None)


def _measured(dataset: Dataset) -> DatasetInfo:
    rows: Arrays = {"train": (dataset.train.images, dataset.train.labels)}
    rows["test"] = (dataset.test.images, dataset.test.labels)
    return measured_info(dataset.source, dataset.train.images, rows, dataset.fingerprints, dataset.classes)


def _signature(file: DatasetFile, path: Path) -> str:
    """Hash of everything that a cached dataset was made from: names, sizes and times of files, not their bytes."""
    home = path.parent
    match file:
        case Folder():
            files = image_readers.image_files(home / file.path)
        case Csv():
            files = [home / file.path, *image_readers.table_images(file, home)]
        case HuggingFace():
            files = sorted((home / file.name).rglob("*"))
        case Npz():
            files = [home / file.path]
        case Torchvision() | Combined():  # whose files are verified by other means
            files = []
    facts = [[str(one), (stat := one.stat()).st_size, stat.st_mtime_ns] if one.exists() else str(one) for one in files]
    return hashlib.sha256(json.dumps([FORMAT, path.read_text(encoding="utf-8"), facts]).encode()).hexdigest()


@lru_cache(maxsize=8)
def _load(path: Path, signature: str) -> Dataset:
    place = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    folder = cache.root() / "own" / f"{path.stem}-{place}" / signature[:16]
    if not (folder / "facts.json").exists():
        _write(_decoded(read_dataset_file(path), path), folder)
    return _read(path.stem, folder)


def _decoded(file: DatasetFile, path: Path) -> Dataset:
    """A dataset as its source has it; refused with all its misfits."""
    home = path.parent
    match file:
        case Folder():
            raw = image_readers.read_folder(file, home)
        case Npz():
            raw = image_readers.read_npz(file, home)
        case Csv():
            raw = image_readers.read_csv(file, home)
        case Torchvision():
            raw = image_readers.read_torchvision(file, home)
        case HuggingFace():
            raw = image_readers.read_huggingface(file, home)
        case Combined():
            raw = _combined(file)
    try:
        dataset = _dataset(path.stem, file, raw)
    except BenchmarkError as error:
        raise BenchmarkError(error.message, where=str(path), hint=error.hint or HINT) from None
    if differing := _unlike_pinned(file.pinned, dataset):
        message = f"the data are not those that the file pins: {differing}"
        raise BenchmarkError(message, where=str(path), hint="restore the data, or pin them anew: fedrepro data pin")
    return dataset


def _combined(file: Combined) -> RawDataset:
    """Several datasets as domains, the first images of each in canonical order, which is as good as random."""
    parts = [named_datasets.load(name) for name in file.datasets]
    if len({part.classes for part in parts}) > 1:
        raise BenchmarkError(f"{', '.join(file.datasets)} do not have the same classes", hint="combine others")
    splits = {}
    for which, most in (("train", file.most_train), ("test", file.most_test)):
        images, labels, domains = [], [], []
        for part in parts:
            split: Split = getattr(part, which)
            images += [image_readers.from_array(image, file) for image in split.images[:most]]
            labels += split.labels[:most].tolist()
            domains += [part.name] * len(split.labels[:most])
        splits[which] = RawImages(images, labels, (), domains)
    return RawDataset(splits, classes=parts[0].classes)


def _dataset(name: str, file: DatasetFile, raw: RawDataset) -> Dataset:
    faults = list(raw.faults)
    classes, numbers = _classes(file, raw, faults)
    owners, domains = (_names(raw, which) for which in ("owners", "domains"))
    splits = {}
    for which, rows in raw.splits.items():
        labels = [numbers.get(str(label), 0) for label in rows.labels]
        splits[which] = Split(
            _stacked(which, rows.images, faults),
            np.array(labels, np.int64),
            None,
            owners=_numbered(rows.owners, owners),
            domains=_numbered(rows.domains, domains),
        )
        named = [len(values) for values in (rows.owners, rows.domains) if len(values)]
        if named and set(named) != {len(labels)}:
            faults.append(f"{which}: {len(labels)} labels, but owners or domains for {min(named)}")
    if not faults and ALL in splits:
        faults += split_faults((splits[ALL].images, splits[ALL].labels))
    if not faults and ALL in splits:
        splits = _hold_out(_ordered(splits[ALL]), file.hold_out)
    if not faults:
        faults = array_faults({which: (split.images, split.labels) for which, split in splits.items()}, classes)
    if faults:
        raise BenchmarkError("; ".join(faults))
    splits = {which: _ordered(split) for which, split in splits.items()}
    prints = {which: _fingerprint(split, owners, domains) for which, split in splits.items()}
    scaled, axes = splits["train"].images / 255, (0, 1, 2)
    return Dataset(
        name=name,
        train=splits["train"],
        test=splits["test"],
        classes=classes,
        mean=file.pinned.mean if file.pinned else tuple(scaled.mean(axes).tolist()),
        std=file.pinned.std if file.pinned else tuple(scaled.std(axes).tolist()),
        fingerprints=prints,
        source=file.kind,
        owners=owners,
        domains=domains,
    )


def _classes(file: DatasetFile, raw: RawDataset, faults: list[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Names of the classes, and the number of each label."""
    found = {str(label) for rows in raw.splits.values() for label in rows.labels}
    if raw.classes and not file.classes:  # whose labels are numbers
        return tuple(raw.classes), {str(number): number for number in range(len(raw.classes))}
    are_numbers = all(text.lstrip("-").isdecimal() for text in found)
    classes = file.classes or tuple(sorted(found, key=int if are_numbers else str))
    if unknown := sorted(found - set(classes)):
        faults.append(f"labels that are none of `classes:`: {', '.join(unknown[: image_readers.LISTED])}")
    return tuple(classes), {text: number for number, text in enumerate(classes)}


def _names(raw: RawDataset, which: str) -> tuple[str, ...]:
    return tuple(sorted({text for rows in raw.splits.values() for text in getattr(rows, which)}))


def _numbered(values: Sequence[str], names: Sequence[str]) -> np.ndarray | None:
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[value] for value in values], np.int64) if len(values) else None


def _stacked(which: str, images: Sequence[np.ndarray], faults: list[str]) -> np.ndarray:
    """One array of all images of a split."""
    if isinstance(images, np.ndarray):
        return images
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        listed = " and ".join("×".join(map(str, shape[:2])) for shape in sorted(shapes)[:2])
        faults.append(f"{which}: images have {len(shapes)} sizes, such as {listed}; set `size:`")
        return np.zeros((len(images), 1, 1, 1), np.uint8)
    return np.stack(images) if len(images) else np.zeros((0, 1, 1, 1), np.uint8)


def _rows(split: Split, rows: Sequence[int] | np.ndarray) -> Split:
    owners, domains = (None if values is None else values[rows] for values in (split.owners, split.domains))
    return Split(split.images[rows], split.labels[rows], None, owners=owners, domains=domains)


def _ordered(split: Split) -> Split:
    """A split in canonical order."""
    further = [values for values in (split.owners, split.domains) if values is not None]
    return _rows(split, canonical_permutation(split.images, split.labels, *further))


def _hold_out(split: Split, share: float) -> dict[str, Split]:
    rest, held_out = partition.hold_out(split.labels, share, Key(0)("test"))
    return {"train": _rows(split, rest), "test": _rows(split, held_out)}


def _fingerprint(split: Split, owners: Sequence[str], domains: Sequence[str]) -> str:
    """As in the manifest; owners and domains enter it where the dataset names them."""
    plain = fingerprint(split.images, split.labels)
    if split.owners is None and split.domains is None:
        return plain
    names = [
        [] if values is None else [of[value] for value in values.tolist()]
        for values, of in ((split.owners, owners), (split.domains, domains))
    ]
    return hashlib.sha256(json.dumps([plain, *names]).encode()).hexdigest()


def _unlike_pinned(pinned: DatasetInfo | None, dataset: Dataset) -> str:
    """In what a dataset differs from what its file pins, in words; "" in nothing."""
    if pinned is None:
        return ""
    found = _measured(dataset)
    differing = [name for name in ("classes", "shape") if getattr(found, name) != getattr(pinned, name)]
    differing += [f"images of {which}" for which in found.splits if found.splits[which] != pinned.splits.get(which)]
    return ", ".join(differing)


def _write(dataset: Dataset, folder: Path) -> None:
    """Cache a dataset; an older version of it goes. Readers see all files or none."""
    scratch = folder.with_name(f"{folder.name}.{os.getpid()}")
    facts: dict[str, Any] = {
        name: getattr(dataset, name)
        for name in ("classes", "mean", "std", "fingerprints", "source", "owners", "domains")
    }
    try:
        older = list(folder.parent.glob("*"))
        scratch.mkdir(parents=True)
        for which in ("train", "test"):
            split: Split = getattr(dataset, which)
            for name in ("images", "labels", "owners", "domains"):
                if (array := getattr(split, name)) is not None:
                    np.save(scratch / f"{which}-{name}.npy", array)
        (scratch / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        if not folder.exists():
            scratch.rename(folder)
        for path in (*older, scratch):
            if path != folder:
                shutil.rmtree(path, ignore_errors=True)
    except OSError as error:
        hint = "free some space or set FEDREPRO_CACHE to another folder"
        message = f"{dataset.name} cannot be cached: {error.strerror or error}"
        raise BenchmarkError(message, where=str(folder), hint=hint, user=False) from error


def _read(name: str, folder: Path) -> Dataset:
    facts = json.loads((folder / "facts.json").read_bytes())

    def array(file: str, mmap: bool = False) -> Any:
        path = folder / f"{file}.npy"
        return np.load(path, mmap_mode="r" if mmap else None) if path.exists() else None

    splits = {
        which: Split(
            array(f"{which}-images", mmap=True),
            array(f"{which}-labels"),
            None,
            owners=array(f"{which}-owners"),
            domains=array(f"{which}-domains"),
        )
        for which in ("train", "test")
    }
    facts |= {key: tuple(facts[key]) for key in ("classes", "mean", "std", "owners", "domains")}
    return Dataset(name=name, train=splits["train"], test=splits["test"], **facts)

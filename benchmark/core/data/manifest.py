"""The manifest of datasets: counts, shape, channel statistics and fingerprints, whatever source the files come from.

In canonical order, the images of a split ascend by the sha256 of their own bytes (height, width, channel, uint8), and
equal images by label. The fingerprint is the sha256 over all image bytes in that order and then the labels as uint8.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter

from benchmark.core import registry
from benchmark.core.data.registered_data import Arrays, registered_arrays
from benchmark.core.errors import BenchmarkError

PATH = Path(__file__).with_name("manifest.json")


class SplitInfo(BaseModel):
    """One split of a dataset.

    Attributes:
        n: Number of images.
        class_counts: Images of each class.
        fingerprint: Its fingerprint; None if the data were never at hand here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    n: int
    class_counts: tuple[int, ...]
    fingerprint: str | None


class DatasetInfo(BaseModel):
    """One dataset.

    Attributes:
        origin: Where it was published.
        classes: Names of the classes.
        shape: (height, width, channels) of an image.
        mean: Mean of each channel over all training pixels / 255.
        std: Standard deviation of each channel over all training pixels / 255.
        splits: "train" and "test".
        coarse: Superclass of every class, if the dataset has superclasses.
        coarse_classes: Names of the superclasses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    origin: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    splits: dict[str, SplitInfo]
    coarse: tuple[int, ...] | None = None
    coarse_classes: tuple[str, ...] | None = None

    @property
    def complete(self) -> bool:
        """Whether every split has a fingerprint."""
        return all(split.fingerprint for split in self.splits.values())

    @property
    def bytes(self) -> int:
        """Size of the decoded images and labels."""
        return sum(split.n for split in self.splits.values()) * (int(np.prod(self.shape)) + 1)


@cache
def manifest() -> dict[str, DatasetInfo]:
    """Every dataset that the project knows, by name."""
    return TypeAdapter(dict[str, DatasetInfo]).validate_json(PATH.read_bytes())


def dataset_info(name: str) -> DatasetInfo:
    """One dataset of the manifest or the registry; BenchmarkError, with the nearest name, if there is none."""
    datasets = manifest()
    if function := registry.find("dataset", name):
        return registered(function)[0]
    if name not in datasets:
        near = difflib.get_close_matches(name, datasets, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(datasets)}"
        raise BenchmarkError(f"unknown dataset {name!r}", hint=hint)
    return datasets[name]


@cache
def registered(function: Callable[[], Arrays]) -> tuple[DatasetInfo, Arrays]:
    """Info and arrays of a registered dataset; the info describes whatever the function returns."""
    arrays = registered_arrays(function)
    images, labels = arrays["train"]
    classes, axes = int(labels.max()) + 1, (0, 1, 2)
    splits = {}
    for name, (x, y) in arrays.items():
        rows = canonical_order(x, y)
        counts = tuple(np.bincount(rows[1], minlength=classes).tolist())
        splits[name] = SplitInfo(n=len(y), class_counts=counts, fingerprint=fingerprint(*rows))
    info = DatasetInfo(
        origin="registered",
        classes=tuple(map(str, range(classes))),
        shape=images.shape[1:],
        splits=splits,
        mean=tuple((images / 255).mean(axes).tolist()),
        std=tuple((images / 255).std(axes).tolist()),
    )
    return info, arrays


def measured_info(
    origin: str, train: np.ndarray, rows: Arrays, fingerprints: Mapping[str, str], classes: tuple[str, ...]
) -> DatasetInfo:
    """The info of a dataset that is no part of the manifest.

    Args:
        origin: Where it comes from.
        train: Training images, of which mean and deviation are taken.
        rows: Its splits in canonical order.
        fingerprints: Fingerprint of each split.
        classes: Names of the classes.
    """
    axes, scaled = (0, 1, 2), train / 255
    counts = {name: tuple(np.bincount(labels, minlength=len(classes)).tolist()) for name, (_, labels) in rows.items()}
    return DatasetInfo(
        origin=origin,
        classes=classes,
        shape=train.shape[1:],
        splits={
            name: SplitInfo(n=sum(counts[name]), class_counts=counts[name], fingerprint=fingerprints[name])
            for name in rows
        },
        mean=tuple(scaled.mean(axes).tolist()),
        std=tuple(scaled.std(axes).tolist()),
    )


def canonical_order(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, ...] and labels [n] in canonical order, both uint8."""
    order = canonical_permutation(images, labels)
    return np.ascontiguousarray(images[order]), labels[order].astype(np.uint8)


def canonical_permutation(images: np.ndarray, *labels: np.ndarray) -> list[int]:
    """Row numbers in canonical order; labels order equal images."""
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    return sorted(range(len(images)), key=lambda i: (digests[i], *(values[i] for values in labels)))


def fingerprint(images: np.ndarray, labels: np.ndarray) -> str:
    """Fingerprint of images and labels that are in canonical order."""
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(labels.astype(np.uint8).tobytes())
    return digest.hexdigest()


def check(info: DatasetInfo, split: str, images: np.ndarray, labels: np.ndarray) -> str:
    """Compare a split in canonical order with what it must be, and return its fingerprint.

    Raises BenchmarkError that says what differs; callers add dataset, source and fix. Without a known fingerprint only
    shape, number and class counts are compared.
    """
    wanted = info.splits[split]
    expected = (wanted.n, *info.shape)
    if images.shape != expected or images.dtype != np.uint8 or labels.shape != (wanted.n,):
        message = f"{split} has {images.dtype} images of shape {images.shape}, expected {expected}"
        raise BenchmarkError(message, user=False)
    counts = tuple(np.bincount(labels, minlength=len(info.classes)).tolist())
    if counts != wanted.class_counts:
        wrong = next(c for c in range(len(counts)) if counts[c : c + 1] != wanted.class_counts[c : c + 1])
        raise BenchmarkError(f"{split} has {counts[wrong]} images of class {wrong}, not as published", user=False)
    actual = fingerprint(images, labels)
    if wanted.fingerprint not in (None, actual):
        raise BenchmarkError(f"{split} has fingerprint {actual[:12]}…, expected {wanted.fingerprint[:12]}…", user=False)
    return actual


def without_fingerprint(names: Iterable[str]) -> list[str]:
    """Those datasets of the manifest of which only counts are known, since they were never at hand here."""
    datasets = manifest()
    return [
        name
        for name in names
        if name in datasets and any(part.fingerprint is None for part in datasets[name].splits.values())
    ]

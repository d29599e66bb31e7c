"""What every dataset must be: counts, shape, channel statistics and fingerprints, whatever source its files come from.

Canonical order: the images of a split ascend by the sha256 of their own bytes (height, width, channel, uint8), ties by
label.
Fingerprint: sha256 over all image bytes in that order, then over the labels as uint8.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter

from benchmark.core import registry
from benchmark.core.errors import BenchmarkError

PATH = Path(__file__).with_name("manifest.json")

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]
"""split -> (images uint8 [n, height, width, channels], labels [n])"""


class SplitFacts(BaseModel):
    """One split: images, images of each class, fingerprint (None: nobody has seen these data here yet)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    n: int
    class_counts: tuple[int, ...]
    fingerprint: str | None


class Facts(BaseModel):
    """One dataset. shape is (height, width, channels); mean and std are per channel over train pixels / 255.

    coarse: superclass of every class, where the dataset has superclasses
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    origin: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    splits: dict[str, SplitFacts]
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
def manifest() -> dict[str, Facts]:
    """Facts of every dataset the project knows, by name."""
    return TypeAdapter(dict[str, Facts]).validate_json(PATH.read_bytes())


def facts(name: str) -> Facts:
    """Facts of one dataset. Raises BenchmarkError with the nearest name if there is none."""
    known = manifest()
    if own := registry.find("dataset", name):
        return registered(own)[0]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise BenchmarkError(f"unknown dataset {name!r}", hint=hint)
    return known[name]


@cache
def registered(function: Callable[[], Arrays]) -> tuple[Facts, Arrays]:
    """Facts of a dataset of one's own, whatever it has is right, and its arrays."""
    arrays = function()
    images, labels = arrays["train"]
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) != len(labels):
        message = f"a registered dataset has images {images.dtype} of shape {images.shape} and {len(labels)} labels"
        raise BenchmarkError(message, hint="images are uint8, (n, height, width, channels), with a label each")
    classes, axes = int(labels.max()) + 1, (0, 1, 2)
    splits = {}
    for name, (x, y) in arrays.items():
        rows = canonical(x, y)
        counts = tuple(np.bincount(rows[1], minlength=classes).tolist())
        splits[name] = SplitFacts(n=len(y), class_counts=counts, fingerprint=fingerprint(*rows))
    known = Facts(
        origin="registered",
        classes=tuple(map(str, range(classes))),
        shape=images.shape[1:],
        splits=splits,
        mean=tuple((images / 255).mean(axes).tolist()),
        std=tuple((images / 255).std(axes).tolist()),
    )
    return known, arrays


def canonical(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same rows in canonical order: images uint8 [n, ...], labels uint8 [n]."""
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    order = sorted(range(len(images)), key=lambda i: (digests[i], labels[i]))
    return np.ascontiguousarray(images[order]), labels[order].astype(np.uint8)


def fingerprint(images: np.ndarray, labels: np.ndarray) -> str:
    """sha256, hexadecimal, of rows that are in canonical order."""
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(labels.astype(np.uint8).tobytes())
    return digest.hexdigest()


def check(facts: Facts, split: str, images: np.ndarray, labels: np.ndarray) -> str:
    """Compare canonical rows with the facts and return their fingerprint.

    Raises BenchmarkError that says which fact fails; callers add dataset, source and remedy. Without a known
    fingerprint only shape, number and class counts are compared.
    """
    known = facts.splits[split]
    expected = (known.n, *facts.shape)
    if images.shape != expected or images.dtype != np.uint8 or labels.shape != (known.n,):
        message = f"{split} has {images.dtype} images of shape {images.shape}, expected {expected}"
        raise BenchmarkError(message, user=False)
    counts = tuple(np.bincount(labels, minlength=len(facts.classes)).tolist())
    if counts != known.class_counts:
        wrong = next(c for c in range(len(counts)) if counts[c : c + 1] != known.class_counts[c : c + 1])
        raise BenchmarkError(f"{split} has {counts[wrong]} images of class {wrong}, not as published", user=False)
    found = fingerprint(images, labels)
    if known.fingerprint not in (None, found):
        raise BenchmarkError(f"{split} has fingerprint {found[:12]}…, expected {known.fingerprint[:12]}…", user=False)
    return found


def without_fingerprint(names: Iterable[str]) -> list[str]:
    """Those datasets of the manifest of which only the counts are known: nobody here has ever held them."""
    known = manifest()
    return [
        name
        for name in names
        if name in known and any(part.fingerprint is None for part in known[name].splits.values())
    ]

"""What a dataset is, once it is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmark.core.errors import BenchmarkError


@dataclass(frozen=True, eq=False)
class Split:
    """Rows in canonical order: images uint8 [n, height, width, channels] (read-only), labels int64 [n].

    coarse: superclass of every row, int64 [n], None where the dataset has no superclasses
    fine: class of every row, int64 [n], where the labels are superclasses; None where they are the classes
    """

    images: np.ndarray
    labels: np.ndarray
    coarse: np.ndarray | None
    fine: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """A verified dataset.

    classes, superclasses: their names; mean, std: per channel over all train pixels / 255
    fingerprints: split -> sha256, of the whole dataset
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprints: dict[str, str]
    source: str
    superclasses: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width), as networks count."""
        _, height, width, channels = self.train.images.shape
        return channels, height, width

    def only(self, classes: Sequence[int] = (), superclasses: Sequence[int] = ()) -> Dataset:
        """The images of these classes, or of these superclasses, which then are the labels, counted anew in this order.

        Raises BenchmarkError for a number that the dataset does not have.
        """
        kind, names = ("superclass", self.superclasses) if superclasses else ("class", self.classes)
        chosen = list(superclasses or classes)
        if unknown := [number for number in chosen if number >= len(names)]:
            hint = f"choose among 0 to {len(names) - 1}" if names else "use cifar100"
            raise BenchmarkError(f"{self.name} has no {kind} {unknown[0]}", hint=hint)
        place = np.full(len(names), -1)
        place[chosen] = np.arange(len(chosen))
        train, test = (_kept(split, place, bool(superclasses)) for split in (self.train, self.test))
        return replace(self, train=train, test=test, classes=tuple(names[number] for number in chosen))


def _kept(split: Split, place: np.ndarray, above: bool) -> Split:
    """The rows whose label, or superclass, has a place of at least 0, which is their new label."""
    labels = place[split.coarse if above else split.labels]
    rows = np.flatnonzero(labels >= 0)
    labels, coarse = labels[rows], None if split.coarse is None else split.coarse[rows]
    if above:
        return Split(split.images[rows], labels, labels, split.labels[rows])
    return Split(split.images[rows], labels, coarse)

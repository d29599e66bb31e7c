"""A decoded dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmark.core.errors import BenchmarkError


@dataclass(frozen=True, eq=False)
class Split:
    """The training or the test images, in canonical order.

    Attributes:
        images: Images [n, height, width, channels], uint8, read-only.
        labels: Labels [n], int64.
        coarse: Superclass of every image [n], int64; None if the dataset has no superclasses.
        fine: Class of every image [n], int64, if the labels are superclasses; else None.
        owners: Number of every image's owner [n], int64; None if the dataset names no owners.
        domains: Number of every image's domain [n], int64; None if the dataset names no domains.
    """

    images: np.ndarray
    labels: np.ndarray
    coarse: np.ndarray | None
    fine: np.ndarray | None = None
    owners: np.ndarray | None = None
    domains: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """A verified dataset.

    Attributes:
        name: Its name.
        train: Training images.
        test: Test images.
        classes: Names of the classes.
        mean: Mean of each channel over all training pixels / 255.
        std: Standard deviation of each channel over all training pixels / 255.
        fingerprints: sha256 of each split of the whole dataset.
        source: The source that it was decoded from.
        superclasses: Names of the superclasses.
        owners: Names of the owners.
        domains: Names of the domains.
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
    owners: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        _, height, width, channels = self.train.images.shape
        return channels, height, width

    def only(self, classes: Sequence[int] = (), superclasses: Sequence[int] = ()) -> Dataset:
        """The images of some classes, or of some superclasses as labels, numbered from 0 in this order.

        Raises BenchmarkError for a number that the dataset does not have.
        """
        kind, names = ("superclass", self.superclasses) if superclasses else ("class", self.classes)
        chosen = list(superclasses or classes)
        if unknown := [number for number in chosen if number >= len(names)]:
            hint = f"choose among 0 to {len(names) - 1}" if names else "use cifar100"
            raise BenchmarkError(f"{self.name} has no {kind} {unknown[0]}", hint=hint)
        new_labels = np.full(len(names), -1)
        new_labels[chosen] = np.arange(len(chosen))
        train, test = (_relabelled(split, new_labels, bool(superclasses)) for split in (self.train, self.test))
        return replace(self, train=train, test=test, classes=tuple(names[number] for number in chosen))


def _relabelled(split: Split, new_labels: np.ndarray, by_superclass: bool) -> Split:
    """The images whose class, or superclass, has a new label of at least 0."""
    labels = new_labels[split.coarse if by_superclass else split.labels]
    rows = np.flatnonzero(labels >= 0)
    coarse, owners, domains = (
        None if values is None else values[rows] for values in (split.coarse, split.owners, split.domains)
    )
    if by_superclass:
        return Split(split.images[rows], labels[rows], labels[rows], split.labels[rows], owners, domains)
    return Split(split.images[rows], labels[rows], coarse, None, owners, domains)

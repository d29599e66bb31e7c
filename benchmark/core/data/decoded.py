"""What a dataset is, once it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Split:
    """Rows in canonical order: images uint8 [n, height, width, channels] (read-only), labels int64 [n].

    coarse: superclass of every row, int64 [n], None where the dataset has no superclasses
    """

    images: np.ndarray
    labels: np.ndarray
    coarse: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Dataset:
    """A verified dataset. mean and std: per channel over train pixels / 255; fingerprints: split -> sha256."""

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprints: dict[str, str]
    source: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width), as networks count."""
        _, height, width, channels = self.train.images.shape
        return channels, height, width

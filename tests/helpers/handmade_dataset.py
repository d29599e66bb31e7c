"""A dataset made by hand, in canonical order."""

from __future__ import annotations

import numpy as np

from benchmark.core.data.dataset import Dataset, Split
from benchmark.core.data.manifest import canonical_order, fingerprint


def make_dataset(name: str, channels: int, n: int = 230, coarse: bool = False) -> Dataset:
    """Random 8 x 6 images of three classes, in canonical order, with two copies of one image under two labels."""
    draw = np.random.default_rng(0)
    splits = {}
    for split in ("train", "test"):
        images = draw.integers(0, 256, (n, 8, 6, channels), np.uint8)
        images[1] = images[0]
        labels = draw.integers(0, 3, n)
        labels[:2] = 2, 1
        rows, numbers = canonical_order(images, labels)
        numbers = numbers.astype(np.int64)
        splits[split] = Split(rows, numbers, numbers // 2 if coarse else None)
    prints = {split: fingerprint(rows.images, rows.labels) for split, rows in splits.items()}
    blank = (0.0,) * channels
    return Dataset(name, splits["train"], splits["test"], ("a", "b", "c"), blank, blank, prints, "made up")

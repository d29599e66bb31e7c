"""Random rows for every client, given how many of each class it gets. The building blocks of `partition`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key

Parts = list[np.ndarray]


def assign_rows(labels: np.ndarray, counts: np.ndarray, key: Key) -> Parts:
    """Random rows without overlap: client i gets counts[i, c] rows of class c, listed class by class."""
    parts: list[list[np.ndarray]] = [[] for _ in counts]
    for c, wanted in enumerate(counts.T):
        rows = np.flatnonzero(labels == c)
        if wanted.sum() > len(rows):
            message = f"class {c} has {len(rows)} samples, {wanted.sum()} are asked for"
            raise BenchmarkError(message, hint="ask for fewer clients or fewer samples per class")
        shuffled = rows[key("class", c).permutation(len(rows))]
        for part, cut in zip(parts, np.split(shuffled, np.cumsum(wanted)), strict=False):
            part.append(cut)
    return [np.concatenate(part) for part in parts]


def take(labels: np.ndarray, count: int, key: Key) -> tuple[np.ndarray, np.ndarray]:
    """Take a number of rows, of each class its share of them by largest remainders.

    Returns ascending row numbers of the rest, and of what is taken.
    """
    present = np.bincount(labels)
    exact = present * (count / len(labels))
    taken = np.floor(exact).astype(np.int64)
    largest = np.argsort(taken - exact, kind="stable")
    taken[largest[: count - taken.sum()]] += 1
    rest, rows = assign_rows(labels, np.stack([present - taken, taken]), key("hold out"))
    return np.sort(rest), np.sort(rows)


def ascending(parts: Sequence[np.ndarray]) -> Parts:
    """Every client's rows in ascending order, int64."""
    return [np.sort(rows).astype(np.int64) for rows in parts]

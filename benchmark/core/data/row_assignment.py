"""Random rows for every client, given how many of each class it gets. The building blocks of `partition`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key

Parts = list[np.ndarray]
ATTEMPTS = 1000  # draws of a Dirichlet partition before giving up


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


def dirichlet_counts(present: np.ndarray, clients: int, alpha: float, minimum: int, key: Key, cap: float) -> np.ndarray:
    """Rows of each class per client, int64 [clients, classes]; every row is given to a client.

    A client that has `cap` rows or more gets none of further classes.
    """
    if alpha <= 0:
        raise BenchmarkError(f"alpha {alpha} of a Dirichlet split is not positive")
    even = present.sum() / clients
    if minimum > even:
        message = f"{present.sum()} samples do not give {clients} clients {minimum} each"
        raise BenchmarkError(message, hint="lower the minimum or ask for fewer clients")
    for attempt in range(ATTEMPTS):
        draw = key("attempt", attempt).numpy()
        counts = np.zeros((clients, len(present)), np.int64)
        for c, n in enumerate(present):
            shares = draw.dirichlet(np.full(clients, alpha))
            shares *= counts.sum(axis=1) < cap
            # With a tiny alpha all mass may be on full clients; their share then goes to nobody and the draw fails.
            edges = np.rint(np.cumsum(shares) / max(shares.sum(), 1e-300) * n).astype(np.int64)
            counts[:, c] = np.diff(edges, prepend=0)
        if counts.sum() == present.sum() and counts.sum(axis=1).min() >= minimum:
            return counts
    message = f"no Dirichlet draw of {ATTEMPTS} with alpha {alpha} gave each of {clients} clients {minimum} samples"
    raise BenchmarkError(message, hint="raise alpha, lower the minimum or ask for fewer clients")


def ascending(parts: Sequence[np.ndarray]) -> Parts:
    """Every client's rows in ascending order, int64."""
    return [np.sort(rows).astype(np.int64) for rows in parts]

"""Partitions by Dirichlet shares, as three papers draw them; see `partition` for what a partition is."""

from __future__ import annotations

import numpy as np

from benchmark.core.data.row_assignment import Parts, ascending, assign_rows
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key

ATTEMPTS = 1000  # draws of a partition before giving up
GROUP = 10  # FedDF's released code draws its shares among ten clients at a time


def dirichlet(labels: np.ndarray, clients: int, alpha: float, minimum: int, key: Key, capped: bool = True) -> Parts:
    """Every class is divided by proportions drawn from Dir(alpha). All rows are used.

    The whole draw is repeated until the smallest client is large enough.

    Args:
        labels: Labels of the rows, int64.
        clients: Number of clients.
        alpha: Concentration; smaller values are more skewed.
        minimum: Rows that the smallest client must have.
        key: What the draws depend on.
        capped: Whether, as in FedNTD's `lda`, a client with its even share of all rows gets none of further classes.
    """
    cap = len(labels) / clients if capped else np.inf
    counts = dirichlet_counts(np.bincount(labels), clients, alpha, minimum, key("proportions"), cap)
    return ascending(assign_rows(labels, counts, key("dirichlet")))


def dirichlet_equal(labels: np.ndarray, clients: int, alpha: float, key: Key) -> Parts:
    """The partition of FedDF's code: Dir(alpha) within groups of ten clients, then one list cut into equal slices.

    Slices mix the classes of neighbours, so this is less skewed than `dirichlet` at the same alpha. Within a group no
    draw has a client below half the mean size; rows that remain after equal slices are not used.

    Args:
        labels: Labels of the rows, int64.
        clients: Number of clients.
        alpha: Concentration; smaller values are more skewed.
        key: What the draws depend on.
    """
    if clients > len(labels):
        raise BenchmarkError(f"{len(labels)} samples do not serve {clients} clients", hint="ask for fewer clients")
    order = key("groups").permutation(len(labels))
    first = np.arange(0, clients, GROUP)
    chunks: Parts = []
    for group, rows in enumerate(np.split(order, first[1:] * len(order) // clients)):
        members = min(GROUP, clients - first[group])
        minimum = int(np.ceil(len(rows) / members / 2))
        cap = len(rows) / members
        counts = dirichlet_counts(np.bincount(labels[rows]), members, alpha, minimum, key("proportions", group), cap)
        chunks += [rows[part] for part in assign_rows(labels[rows], counts, key("dirichlet", group))]
    size = len(labels) // clients
    return ascending(np.split(np.concatenate(chunks)[: size * clients], clients))


def dirichlet_sampled(labels: np.ndarray, clients: int, alpha: float, most: int, minimum: int, key: Key) -> Parts:
    """The partition of FedGen's code: equally many rows of every class, divided by proportions drawn from Dir(alpha).

    Its one number for "half of MNIST", 0.5 * 60,000 / 20 = 1,500, limits both a class and a client: 1,500 rows of each
    class are used, a quarter of all, and a client that has 1,500 rows gets none of further classes. The code goes
    through the classes in an order that it draws once, this function in the order of their numbers.

    Args:
        labels: Labels of the rows, int64.
        clients: Number of clients.
        alpha: Concentration; smaller values are more skewed.
        most: Rows of each class that are used, and the size from which a client gets none of further classes.
        minimum: Rows that the smallest client must have.
        key: What the draws depend on.
    """
    used = np.minimum(np.bincount(labels), most)
    counts = dirichlet_counts(used, clients, alpha, minimum, key("proportions"), most)
    return ascending(assign_rows(labels, counts, key("dirichlet")))


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

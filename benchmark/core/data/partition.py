"""Partitions of a dataset among clients: pure functions of labels and a key.

A partition is one array of ascending row numbers (int64) for each client; no row belongs to two clients. Functions that
make one raise BenchmarkError if the labels cannot give what is asked for.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import numpy as np

from benchmark.core.data.dirichlet_partition import dirichlet
from benchmark.core.data.row_assignment import Parts, ascending, assign_rows
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key

PUBLISHED_SEED = 19940817  # of FedNTD's released code, whose draw of labels `shards(draws="published")` repeats


def hold_out(labels: np.ndarray, share: float, key: Key) -> tuple[np.ndarray, np.ndarray]:
    """Hold out the same share of every class.

    Args:
        labels: Labels of the rows, int64.
        share: From 0, which holds out nothing, to below 1.
        key: What the draws depend on.

    Returns:
        Ascending row numbers of the rest, and of what is held out.

    Raises:
        BenchmarkError: If the share is out of range or rounds to no row of some class.
    """
    if not 0 <= share < 1:
        raise BenchmarkError(f"share {share} of the rows to hold out is not in [0, 1)")
    present = np.bincount(labels)
    held = np.rint(present * share).astype(np.int64)
    if share > 0 and len(missing := np.flatnonzero((present > 0) & (held == 0))):
        message = f"holding out {share} of {present[missing[0]]} samples of class {missing[0]} leaves none"
        raise BenchmarkError(message, hint="hold out a larger share")
    rest, held_out = ascending(assign_rows(labels, np.stack([present - held, held]), key("hold out")))
    return rest, held_out


def iid(labels: np.ndarray, clients: int, key: Key) -> Parts:
    """Equal random parts, whose sizes differ by one at most.

    Args:
        labels: Labels of the rows, int64.
        clients: Number of clients.
        key: What the draws depend on.
    """
    if clients > len(labels):
        raise BenchmarkError(f"{len(labels)} samples do not serve {clients} clients", hint="ask for fewer clients")
    return ascending(np.array_split(key("iid").permutation(len(labels)), clients))


def shards(
    labels: np.ndarray, clients: int, shards: int, key: Key, draws: Literal["keyed", "published"] = "keyed"
) -> Parts:
    """FedNTD's shards, each of one class and all of one size.

    Every class is cut into shards * clients / classes shards, as large as the smallest class allows; the remaining rows
    are not used.

    Args:
        labels: Labels of the rows, int64.
        clients: Number of clients.
        shards: Shards of each client.
        key: What the draws depend on.
        draws: Whether the key or, "published", the seed of FedNTD's code decides which client gets which class.
    """
    present = np.bincount(labels)
    classes = len(present)
    per_class, over = divmod(shards * clients, classes)
    if over or not per_class:
        message = f"{clients} clients with {shards} shards each: {shards * clients} is no multiple of {classes} classes"
        raise BenchmarkError(message, hint="change clients or shards")
    size = int(present.min()) // per_class
    if size == 0:
        poorest = int(present.argmin())
        message = f"class {poorest} has {present[poorest]} samples for {per_class} shards"
        raise BenchmarkError(message, hint="ask for fewer clients or shards")
    owners = shard_labels(classes, clients, shards, key, draws)
    counts = np.stack([np.bincount(row, minlength=classes) * size for row in owners])
    return ascending(assign_rows(labels, counts, key("shards")))


def shard_labels(classes: int, clients: int, shards: int, key: Key, draws: Literal["keyed", "published"]) -> np.ndarray:
    """Classes of every client's shards, each class equally often.

    Args:
        classes: Number of classes.
        clients: Number of clients.
        shards: Shards of each client.
        key: What the draws depend on.
        draws: As in `shards`.

    Returns:
        Classes, int64 [clients, shards].
    """
    owned = list(range(classes)) * (shards * clients // classes)
    if draws == "published":
        random.Random(PUBLISHED_SEED).shuffle(owned)
    else:
        key("shard labels").numpy().shuffle(owned)
    return np.array(owned, np.int64).reshape(clients, shards)


def labels_removed(labels: np.ndarray, clients: int, per_client: int, targets: int, keep: int, key: Key) -> Parts:
    """FD's partition: each client draws rows at random and then loses most of its target labels.

    Args:
        labels: Labels of the rows, int64.
        clients: Number of clients.
        per_client: Rows that each client draws.
        targets: Number of target labels of each client.
        keep: Rows of each target label that a client keeps.
        key: What the draws depend on.
    """
    if clients * per_client > len(labels):
        message = f"{clients} clients with {per_client} samples each need more than the {len(labels)} there are"
        raise BenchmarkError(message, hint="ask for fewer clients or samples")
    drawn = key("pool").permutation(len(labels))[: clients * per_client].reshape(clients, per_client)
    parts = []
    for rows, scarce in zip(drawn, target_labels(int(labels.max()) + 1, clients, targets, key), strict=True):
        mask = ~np.isin(labels[rows], scarce)
        for target in scarce:
            of_target = np.flatnonzero(labels[rows] == target)
            if len(of_target) < keep:
                message = f"a client drew {len(of_target)} samples of its target class {target}, {keep} are to be kept"
                raise BenchmarkError(message, hint="ask for more samples per client")
            mask[of_target[:keep]] = True
        parts.append(rows[mask])
    return ascending(parts)


def target_labels(classes: int, clients: int, targets: int, key: Key) -> np.ndarray:
    """Labels that `labels_removed` makes scarce at each client.

    Args:
        classes: Number of classes.
        clients: Number of clients.
        targets: Number of target labels of each client.
        key: What the draws depend on.

    Returns:
        Labels in ascending order, int64 [clients, targets].
    """
    if not 0 <= targets < classes:
        raise BenchmarkError(f"{targets} target labels of {classes} classes", hint=f"ask for 0 to {classes - 1}")
    return np.stack([key("targets", client).choice(classes, targets) for client in range(clients)])


def superclass(
    labels: np.ndarray, coarse: np.ndarray, clients: int, per_class: int, superclasses: Sequence[int], key: Key
) -> Parts:
    """FedMD's partition: of every superclass with m classes, client i gets rows of class number i mod m.

    Args:
        labels: Class of every row, int64.
        coarse: Superclass of every row, int64.
        clients: Number of clients.
        per_class: Rows of each of a client's classes.
        superclasses: The superclasses to use.
        key: What the draws depend on.
    """
    counts = np.zeros((clients, int(labels.max()) + 1), np.int64)
    for above in superclasses:
        fine = np.unique(labels[coarse == above])
        if not len(fine):
            raise BenchmarkError(f"superclass {above} has no samples", hint="choose others")
        counts[np.arange(clients), fine[np.arange(clients) % len(fine)]] += per_class
    return ascending(assign_rows(labels, counts, key("superclass")))


def few_per_class(labels: np.ndarray, clients: int, classes: Sequence[int], per_class: int, key: Key) -> Parts:
    """FedMD's even partition: every client has rows of the same few classes.

    Args:
        labels: Labels of the rows, int64.
        clients: Number of clients.
        classes: The classes to use.
        per_class: Rows of each class that a client has.
        key: What the draws depend on.
    """
    counts = np.zeros((clients, max(int(labels.max()) + 1, max(classes) + 1)), np.int64)
    counts[:, list(classes)] = per_class
    return ascending(assign_rows(labels, counts, key("few per class")))


def natural(owners: np.ndarray, clients: int, minimum: int, key: Key) -> Parts:
    """One owner's rows for each client; the clients are drawn among the owners.

    Args:
        owners: Number of every row's owner, int64.
        clients: Number of clients.
        minimum: Rows that an owner must have.
        key: What the draws depend on.
    """
    able = np.flatnonzero(np.bincount(owners) >= minimum)
    if len(able) < clients:
        message = f"{len(able)} owners have {minimum} samples or more, {clients} clients are asked for"
        raise BenchmarkError(message, hint="ask for fewer clients or a lower minimum")
    chosen = able[np.sort(key("natural").permutation(len(able))[:clients])]
    return [np.flatnonzero(owners == owner) for owner in chosen]


def by_domain(
    domains: np.ndarray, labels: np.ndarray, clients: int, alpha: float | None, minimum: int, key: Key
) -> Parts:
    """Rows of domain i mod the number of domains for client i; the clients of a domain share its rows.

    Args:
        domains: Number of every row's domain, int64.
        labels: Labels of the rows, int64.
        clients: Number of clients.
        alpha: Concentration of the classes within a domain; None for equal random parts.
        minimum: Rows that the smallest client must have, where alpha is given.
        key: What the draws depend on.
    """
    count = int(domains.max()) + 1
    if clients < count:
        raise BenchmarkError(f"{clients} clients for {count} domains", hint="ask for a client for each domain or more")
    parts: Parts = [np.zeros(0, np.int64)] * clients
    for domain in range(count):
        rows, mine = np.flatnonzero(domains == domain), range(domain, clients, count)
        own, draw = labels[rows], key("domain", domain)
        shares = iid(own, len(mine), draw) if alpha is None else dirichlet(own, len(mine), alpha, minimum, draw)
        for client, share in zip(mine, shares, strict=True):
            parts[client] = rows[share]
    return ascending(parts)

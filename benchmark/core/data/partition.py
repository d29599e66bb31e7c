"""Who holds which rows: pure functions of labels and a key.

Each returns one array per client: ascending row numbers int64 into `labels`; no row belongs to two clients.
Each raises BenchmarkError if the labels cannot give what is asked.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import Literal, overload

import numpy as np

from benchmark.core import registry as own
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key

Parts = list[np.ndarray]

PUBLISHED_SEED = 19940817
"""Seed of FedNTD's released code, whose draw of labels `shards(draws="published")` repeats."""

ATTEMPTS = 1000
GROUP = 10
"""FedDF's released code draws its Dirichlet shares among ten clients at a time."""


def hold_out(labels: np.ndarray, share: float, key: Key) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (rest, held): held has this share of every class, rounded; a share of 0 holds out nothing."""
    if not 0 <= share < 1:
        raise BenchmarkError(f"share {share} of the rows to hold out is not in [0, 1)")
    present = np.bincount(labels)
    held = np.rint(present * share).astype(np.int64)
    poor = np.flatnonzero((present > 0) & (held == 0))
    if share > 0 and len(poor):
        message = f"holding out {share} of {present[poor[0]]} samples of class {poor[0]} leaves none"
        raise BenchmarkError(message, hint="hold out a larger share")
    rest, cut = _deal(labels, np.stack([present - held, held]), key("hold out"))
    return np.sort(rest), np.sort(cut)


def iid(labels: np.ndarray, clients: int, key: Key) -> Parts:
    """Every row to a random client; sizes differ by one at most."""
    if clients > len(labels):
        raise BenchmarkError(f"{len(labels)} samples do not serve {clients} clients", hint="ask for fewer clients")
    return _ascending(np.array_split(key("iid").permutation(len(labels)), clients))


def shards(
    labels: np.ndarray, clients: int, shards: int, key: Key, draws: Literal["keyed", "published"] = "keyed"
) -> Parts:
    """FedNTD's sharding: shards of one class each and of one size, `shards` of them to every client.

    Every class is cut into shards * clients / classes shards, as large as the smallest class allows; what is over stays
    unused. draws: who gets which class comes from the key, or, `published`, from the seed of FedNTD's released code.
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
    return _ascending(_deal(labels, counts, key("shards")))


def shard_labels(classes: int, clients: int, shards: int, key: Key, draws: Literal["keyed", "published"]) -> np.ndarray:
    """Classes of every client's shards: int64 [clients, shards], each class equally often."""
    cards = list(range(classes)) * (shards * clients // classes)
    if draws == "published":
        random.Random(PUBLISHED_SEED).shuffle(cards)
    else:
        key("shard labels").numpy().shuffle(cards)
    return np.array(cards, np.int64).reshape(clients, shards)


def dirichlet(labels: np.ndarray, clients: int, alpha: float, minimum: int, key: Key, capped: bool = True) -> Parts:
    """Every class is shared out by proportions from Dir(alpha); all rows are used and no client has fewer than minimum.

    The whole draw is repeated until the smallest client is large enough.
    capped: as in FedNTD's `lda`, a client that already has its even share of all rows gets nothing of further classes
    """
    counts = _dirichlet_counts(np.bincount(labels), clients, alpha, minimum, key("proportions"), capped)
    return _ascending(_deal(labels, counts, key("dirichlet")))


def dirichlet_equal(labels: np.ndarray, clients: int, alpha: float, key: Key) -> Parts:
    """FedDF's released split: Dir(alpha) within groups of ten clients, then one list cut again into equal slices.

    Slices mix the classes of neighbours, so this is milder than `dirichlet` at the same alpha. Within a group no draw
    has a client below half the mean size; rows over after equal slices stay unused.
    """
    if clients > len(labels):
        raise BenchmarkError(f"{len(labels)} samples do not serve {clients} clients", hint="ask for fewer clients")
    order = key("groups").permutation(len(labels))
    first = np.arange(0, clients, GROUP)
    listed: Parts = []
    for group, rows in enumerate(np.split(order, first[1:] * len(order) // clients)):
        members = min(GROUP, clients - first[group])
        minimum = int(np.ceil(len(rows) / members / 2))
        counts = _dirichlet_counts(np.bincount(labels[rows]), members, alpha, minimum, key("proportions", group))
        listed += [rows[part] for part in _deal(labels[rows], counts, key("dirichlet", group))]
    size = len(labels) // clients
    return _ascending(np.split(np.concatenate(listed)[: size * clients], clients))


def labels_removed(labels: np.ndarray, clients: int, per_client: int, targets: int, keep: int, key: Key) -> Parts:
    """FD's split: per_client random rows each, of which `target_labels` keep no more than `keep` rows per label."""
    if clients * per_client > len(labels):
        message = f"{clients} clients with {per_client} samples each need more than the {len(labels)} there are"
        raise BenchmarkError(message, hint="ask for fewer clients or samples")
    drawn = key("pool").permutation(len(labels))[: clients * per_client].reshape(clients, per_client)
    parts = []
    for rows, scarce in zip(drawn, target_labels(_classes(labels), clients, targets, key), strict=True):
        kept = ~np.isin(labels[rows], scarce)
        for target in scarce:
            found = np.flatnonzero(labels[rows] == target)
            if len(found) < keep:
                message = f"a client drew {len(found)} samples of its target class {target}, {keep} are to be kept"
                raise BenchmarkError(message, hint="ask for more samples per client")
            kept[found[:keep]] = True
        parts.append(rows[kept])
    return _ascending(parts)


def target_labels(classes: int, clients: int, targets: int, key: Key) -> np.ndarray:
    """Labels that `labels_removed` makes scarce at each client: int64 [clients, targets], ascending."""
    if not 0 <= targets < classes:
        raise BenchmarkError(f"{targets} target labels of {classes} classes", hint=f"ask for 0 to {classes - 1}")
    return np.stack([key("targets", client).choice(classes, targets) for client in range(clients)])


def superclass(
    labels: np.ndarray, coarse: np.ndarray, clients: int, per_class: int, superclasses: Sequence[int], key: Key
) -> Parts:
    """FedMD's split: of every superclass with m classes client i owns per_class rows of class number i mod m."""
    counts = np.zeros((clients, _classes(labels)), np.int64)
    for above in superclasses:
        fine = np.unique(labels[coarse == above])
        if not len(fine):
            raise BenchmarkError(f"superclass {above} has no samples", hint="choose others")
        counts[np.arange(clients), fine[np.arange(clients) % len(fine)]] += per_class
    return _ascending(_deal(labels, counts, key("superclass")))


def few_per_class(labels: np.ndarray, clients: int, classes: Sequence[int], per_class: int, key: Key) -> Parts:
    """FedMD's even split: every client has per_class rows of each of these classes and no others."""
    counts = np.zeros((clients, max(_classes(labels), max(classes) + 1)), np.int64)
    counts[:, list(classes)] = per_class
    return _ascending(_deal(labels, counts, key("few per class")))


def registered(name: str, options: Mapping[str, object], labels: np.ndarray, clients: int, key: Key) -> Parts:
    """A partition of one's own, and whether it is one: some rows for every client, no row twice."""
    function = own.find("partition", name)
    if function is None:
        raise BenchmarkError(f"no partition {name} is registered", hint=f"name its file in {own.FILES}")
    parts = [np.asarray(rows, np.int64) for rows in function(labels, clients, key(name), **options)]
    if len(parts) != clients or not all(map(len, parts)):
        filled = sum(len(rows) > 0 for rows in parts)
        raise BenchmarkError(f"partition {name} serves {filled} clients of {clients}", hint="mend the function")
    listed = np.concatenate(parts)
    if len(np.unique(listed)) != len(listed) or not np.isin(listed, np.arange(len(labels))).all():
        message = f"partition {name} gives a row twice, or one that is none of 0..{len(labels) - 1}"
        raise BenchmarkError(message, hint="mend the function")
    return _ascending(parts)


class Drawn(Sequence[np.ndarray]):
    """Each client's own draw of per_client of the given rows, made when asked for: clients may share rows.

    A million clients cost no memory; a client's rows depend on its number and the key alone.
    """

    def __init__(self, rows: np.ndarray, clients: int, per_client: int, key: Key) -> None:
        if per_client > len(rows):
            message = f"{per_client} samples per client of {len(rows)}"
            raise BenchmarkError(message, hint="ask for fewer samples per client")
        self.rows, self.clients, self.per_client, self.key = rows, clients, per_client, key("drawn")

    def __len__(self) -> int:
        return self.clients

    @overload
    def __getitem__(self, client: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, client: slice) -> list[np.ndarray]: ...
    def __getitem__(self, client: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(client, slice):
            return [self[i] for i in range(*client.indices(self.clients))]
        if not 0 <= client < self.clients:
            raise IndexError(client)
        return self.rows[self.key(client).choice(len(self.rows), self.per_client)]


def sizes(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Samples of every client, int64; of a lazy split without a draw and without memory."""
    if isinstance(parts, Drawn):
        return np.broadcast_to(np.int64(parts.per_client), parts.clients)
    return np.array([len(rows) for rows in parts], np.int64)


def fingerprint(parts: Sequence[np.ndarray]) -> str:
    """sha256 over sizes and rows (int64, little-endian) of all clients; of a lazy split, over what defines it."""
    digest = hashlib.sha256()
    if isinstance(parts, Drawn):
        digest.update(np.array([parts.clients, parts.per_client, parts.key.seed, *parts.rows], "<i8").tobytes())
        return digest.hexdigest()
    for rows in parts:
        digest.update(np.array([len(rows), *rows], "<i8").tobytes())
    return digest.hexdigest()


LISTED = 1000  # clients that a split table lists at most


def split_table(parts: Sequence[np.ndarray], labels: np.ndarray, classes: Sequence[str]) -> dict[str, object]:
    """Samples per class of every client, and the sha256 of all sizes and row numbers (int64, little-endian)."""
    digest = hashlib.sha256()
    for rows in parts:
        digest.update(np.array([len(rows), *rows], "<i8").tobytes())
    counts = [np.bincount(labels[rows], minlength=len(classes)).tolist() for rows in parts]
    table = [{"client": i, "size": len(rows), "counts": counts[i]} for i, rows in enumerate(parts)]
    return {"rows": sum(map(len, parts)), "classes": list(classes), "sha256": digest.hexdigest(), "clients": table}


def table_text(table: dict[str, object]) -> str:
    """A split table as JSON with one line per client."""
    *head, (name, clients) = table.items()
    assert isinstance(clients, list)
    lines = [f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head]
    body = ",\n".join(f"  {json.dumps(client)}" for client in clients)
    return "{\n" + "".join(lines) + f" {json.dumps(name)}: [\n{body}\n ]\n}}\n"


def _deal(labels: np.ndarray, counts: np.ndarray, key: Key) -> Parts:
    """Hand out random rows without overlap: client i gets counts[i, c] rows of class c, listed class by class."""
    hands: list[list[np.ndarray]] = [[] for _ in counts]
    for c, wanted in enumerate(counts.T):
        rows = np.flatnonzero(labels == c)
        if wanted.sum() > len(rows):
            message = f"class {c} has {len(rows)} samples, {wanted.sum()} are asked for"
            raise BenchmarkError(message, hint="ask for fewer clients or fewer samples per class")
        shuffled = rows[key("class", c).permutation(len(rows))]
        for hand, cut in zip(hands, np.split(shuffled, np.cumsum(wanted)), strict=False):
            hand.append(cut)
    return [np.concatenate(hand) for hand in hands]


def _dirichlet_counts(
    present: np.ndarray, clients: int, alpha: float, minimum: int, key: Key, capped: bool = True
) -> np.ndarray:
    """Rows of each class per client, int64 [clients, classes], with every row given away."""
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
            if capped:
                shares *= counts.sum(axis=1) < even
            # With a tiny alpha all mass may lie on full clients; their share then goes to nobody and the draw fails.
            edges = np.rint(np.cumsum(shares) / max(shares.sum(), 1e-300) * n).astype(np.int64)
            counts[:, c] = np.diff(edges, prepend=0)
        if counts.sum() == present.sum() and counts.sum(axis=1).min() >= minimum:
            return counts
    message = f"no Dirichlet draw of {ATTEMPTS} with alpha {alpha} gave each of {clients} clients {minimum} samples"
    raise BenchmarkError(message, hint="raise alpha, lower the minimum or ask for fewer clients")


def _classes(labels: np.ndarray) -> int:
    return int(labels.max()) + 1


def _ascending(parts: Sequence[np.ndarray]) -> Parts:
    return [np.sort(rows).astype(np.int64) for rows in parts]

"""What a partition looks like: sizes, a fingerprint and a table for people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from benchmark.core.data.lazy_partition import Drawn


def sizes(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Number of rows of every client, for a lazy partition without drawing.

    Args:
        parts: A partition.

    Returns:
        Numbers of rows, int64 [clients].
    """
    if isinstance(parts, Drawn):
        return np.broadcast_to(np.int64(parts.per_client), parts.clients)
    return np.array([len(rows) for rows in parts], np.int64)


def fingerprint(parts: Sequence[np.ndarray]) -> str:
    """Hash of a partition.

    Args:
        parts: A partition.

    Returns:
        sha256, hexadecimal, over sizes and rows (int64, little-endian) of all clients; for a lazy partition over what
        defines it.
    """
    digest = hashlib.sha256()
    if isinstance(parts, Drawn):
        digest.update(np.array([parts.clients, parts.per_client, parts.key.seed, *parts.rows], "<i8").tobytes())
        return digest.hexdigest()
    for rows in parts:
        digest.update(np.array([len(rows), *rows], "<i8").tobytes())
    return digest.hexdigest()


def split_table(parts: Sequence[np.ndarray], labels: np.ndarray, classes: Sequence[str]) -> dict[str, object]:
    """A summary of a partition that people can read.

    Args:
        parts: A partition.
        labels: Labels of the rows, int64.
        classes: Names of the classes.

    Returns:
        Plain data: number of rows, classes, `fingerprint`, and size and rows per class of every client.
    """
    counts = [np.bincount(labels[rows], minlength=len(classes)).tolist() for rows in parts]
    table = [{"client": i, "size": len(rows), "counts": counts[i]} for i, rows in enumerate(parts)]
    return {"rows": sum(map(len, parts)), "classes": list(classes), "sha256": fingerprint(parts), "clients": table}

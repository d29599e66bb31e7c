"""What registered datasets and partitions return, checked before anything trains on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmark.core import registry
from benchmark.core.data.array_checks import SPLITS, array_faults
from benchmark.core.data.row_assignment import Parts, ascending
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]
"""split -> (images uint8 [n, height, width, channels], labels [n])"""


def registered_arrays(function: Callable[[], Any]) -> Arrays:
    """The arrays of a registered dataset.

    Args:
        function: What is registered.

    Returns:
        Images and labels of both splits.

    Raises:
        BenchmarkError: If the function fails, or with the split and the row, class or channel that is not as
            `registry.dataset` asks for.
    """
    where = f"registered dataset ({function.__name__})"
    try:
        content = function()
    except BenchmarkError:
        raise
    except Exception as error:  # whatever a user's function raises becomes a sentence
        detail = f"{type(error).__name__}: {error}"
        raise BenchmarkError(f"cannot be read ({detail})", where=where, hint="fix its function") from error
    if faults := array_faults(content):
        hint = 'return {"train": (images, labels), "test": (images, labels)} with these corrected'
        raise BenchmarkError("; ".join(faults), where=where, hint=hint)
    return {split: (np.asarray(content[split][0]), np.asarray(content[split][1])) for split in SPLITS}


def registered_partition(name: str, options: Mapping[str, object], labels: np.ndarray, clients: int, key: Key) -> Parts:
    """The partition that a registered function makes.

    Args:
        name: Name under which the function is registered.
        options: Further arguments of the function.
        labels: Labels of the rows, int64.
        clients: Number of clients.
        key: What the draws depend on.

    Raises:
        BenchmarkError: If there is no such function, it fails, a client gets no row, or a row is given twice.
    """
    function = registry.find("partition", name)
    if function is None:
        raise BenchmarkError(f"no partition {name} is registered", hint=f"name its file in {registry.FILES}")
    try:
        parts = [np.asarray(rows) for rows in function(labels, clients, key(name), **options)]
    except BenchmarkError:
        raise
    except Exception as error:  # whatever a user's function raises becomes a sentence
        detail = f"{type(error).__name__}: {error}"
        raise BenchmarkError(f"partition {name} fails ({detail})", hint="fix the function") from error
    if odd := [n for n, rows in enumerate(parts) if not _row_numbers(rows)]:
        message = f"partition {name} gives client {odd[0]} {parts[odd[0]].dtype} of shape {parts[odd[0]].shape}"
        raise BenchmarkError(message, hint="give each client row numbers, integers (n,)")
    if len(parts) != clients or not all(map(len, parts)):
        filled = sum(len(rows) > 0 for rows in parts)
        raise BenchmarkError(f"partition {name} serves {filled} clients of {clients}", hint="fix the function")
    used = np.concatenate(parts)
    if len(np.unique(used)) != len(used) or not np.isin(used, np.arange(len(labels))).all():
        message = f"partition {name} gives a row twice, or one that is none of 0..{len(labels) - 1}"
        raise BenchmarkError(message, hint="fix the function")
    return ascending(parts)


def _row_numbers(rows: np.ndarray) -> bool:
    """Whether these may be row numbers; an empty list has no type."""
    return rows.ndim == 1 and (not len(rows) or np.issubdtype(rows.dtype, np.integer))

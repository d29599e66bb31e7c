"""Partitions of the library flwr-datasets, whose arithmetic stays its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmark.core.data.row_assignment import Parts, ascending
from benchmark.core.errors import BenchmarkError, not_installed
from benchmark.core.keys import Key


def flwr_partition(
    name: str, options: Mapping[str, Any], columns: Mapping[str, np.ndarray], clients: int, key: Key
) -> Parts:
    """The partition that a partitioner of flwr-datasets makes.

    The rows are shuffled by the key before, since some partitioners take them in order; a partitioner with a seed gets
    one by the key. It is given the number of clients, and partitions by label unless its options say otherwise.

    Args:
        name: Name of its class, such as DirichletPartitioner.
        options: Further arguments.
        columns: "label", and "owner" and "domain" where the dataset names them, of all rows, int64.
        clients: Number of clients.
        key: What the draws depend on.

    Raises:
        BenchmarkError: The library is missing, there is no such partitioner, it fails, or makes too few parts.
    """
    try:
        import datasets  # type: ignore[import-not-found,unused-ignore]
        from flwr_datasets import partitioner  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise not_installed("flwr-datasets", "partitions") from None
    kind = getattr(partitioner, name, None)
    if not isinstance(kind, type):
        listed = ", ".join(found for found in partitioner.__all__ if found != "Partitioner")
        raise BenchmarkError(f"flwr-datasets has no partitioner {name}", hint=f"it has {listed}")
    known = inspect.signature(kind).parameters
    given = {"num_partitions": clients, "partition_by": "label", "seed": key("flwr").seed % 2**32}
    arguments = {argument: value for argument, value in given.items() if argument in known} | dict(options)
    order = key("order").permutation(len(columns["label"]))
    table = {"row": order, **{column: values[order] for column, values in columns.items()}}
    try:
        parts = kind(**arguments)
        parts.dataset = datasets.Dataset.from_dict({column: values.tolist() for column, values in table.items()})
        rows = [np.array(parts.load_partition(i)["row"], np.int64) for i in range(parts.num_partitions)]
    except Exception as error:  # whatever the library raises becomes a sentence
        hint = "see its documentation for the options"
        raise BenchmarkError(f"{name} fails ({type(error).__name__}: {error})", hint=hint) from error
    if len(rows) != clients or not all(map(len, rows)):
        filled = sum(len(part) > 0 for part in rows)
        raise BenchmarkError(f"{name} serves {filled} clients of {clients}", hint="change clients or the options")
    return ascending(rows)

"""Partitions of flwr-datasets as splits of a task."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from benchmark.core.data.flwr_partitions import flwr_partition
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key

LABELS = np.arange(400) % 4
COLUMNS = {"label": LABELS, "owner": np.arange(400) // 100}


def test_without_the_library_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BenchmarkError, match=r"flwr-datasets is not installed; .*'fedrepro\[partitions\]'"):
        flwr_partition("IidPartitioner", {}, COLUMNS, 4, Key(0))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of pyarrow, inside the library
@pytest.mark.parametrize(
    ("name", "options", "clients"),
    [
        ("IidPartitioner", {}, 5),
        ("LinearPartitioner", {}, 5),
        ("DirichletPartitioner", {"alpha": 0.5}, 5),
        ("PathologicalPartitioner", {"num_classes_per_partition": 2}, 4),
        ("ShardPartitioner", {"num_shards_per_partition": 2}, 5),
        ("NaturalIdPartitioner", {"partition_by": "owner"}, 4),
    ],
)
def test_partitions_are_without_overlap_and_drawn_by_the_key(name: str, options: dict[str, Any], clients: int) -> None:
    pytest.importorskip("flwr_datasets", reason="flwr-datasets, an extra, is not installed")
    parts = flwr_partition(name, options, COLUMNS, clients, Key(0))
    rows = np.concatenate(parts)
    assert len(parts) == clients and len(np.unique(rows)) == len(rows) and rows.max() < 400
    again = flwr_partition(name, options, COLUMNS, clients, Key(0))
    assert all((one == other).all() for one, other in zip(parts, again, strict=True))
    if name == "NaturalIdPartitioner":
        assert [set(COLUMNS["owner"][part]) for part in parts] == [{0}, {1}, {2}, {3}]
    else:
        other = flwr_partition(name, options, COLUMNS, clients, Key(1))
        assert any(len(one) != len(two) or (one != two).any() for one, two in zip(parts, other, strict=True))
    if name == "PathologicalPartitioner":
        assert all(len(np.unique(LABELS[part])) == 2 for part in parts)


def test_what_does_not_fit_is_a_sentence() -> None:
    pytest.importorskip("flwr_datasets", reason="flwr-datasets, an extra, is not installed")
    with pytest.raises(BenchmarkError, match=r"has no partitioner Dirichlet; it has .*DirichletPartitioner"):
        flwr_partition("Dirichlet", {}, COLUMNS, 4, Key(0))
    with pytest.raises(BenchmarkError, match=r"DirichletPartitioner fails \(TypeError"):
        flwr_partition("DirichletPartitioner", {}, COLUMNS, 4, Key(0))
    with pytest.raises(BenchmarkError, match="NaturalIdPartitioner serves 4 clients of 5"):
        flwr_partition("NaturalIdPartitioner", {"partition_by": "owner"}, COLUMNS, 5, Key(0))

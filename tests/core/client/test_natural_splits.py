"""Splits by owner and by domain, of a dataset that names them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.core.data import partition
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key


def test_natural_clients_are_owners_with_enough_rows() -> None:
    owners = np.repeat([0, 1, 2, 3], [5, 2, 4, 3])
    parts = partition.natural(owners, 3, 3, Key(0))
    # Owner 1 has two rows only, so the clients are the three others, whichever way they are drawn.
    assert [rows.tolist() for rows in parts] == [[0, 1, 2, 3, 4], [7, 8, 9, 10], [11, 12, 13]]
    with pytest.raises(BenchmarkError, match="3 owners have 3 samples or more, 4 clients are asked for"):
        partition.natural(owners, 4, 3, Key(0))


def test_natural_clients_are_drawn_by_the_key() -> None:
    owners = np.arange(50)
    drawn = {tuple(int(rows[0]) for rows in partition.natural(owners, 5, 1, Key(seed))) for seed in range(4)}
    assert len(drawn) == 4 and all(list(owners_) == sorted(set(owners_)) for owners_ in drawn)


@pytest.mark.parametrize("alpha", [None, 0.5])
def test_clients_of_a_domain_share_its_rows(alpha: float | None) -> None:
    draw = np.random.default_rng(0)
    domains, labels = draw.integers(0, 3, 600), draw.integers(0, 4, 600)
    parts = partition.by_domain(domains, labels, 7, alpha, 1, Key(0))
    assert sorted(np.concatenate(parts).tolist()) == list(range(600))
    assert [set(domains[rows].tolist()) for rows in parts] == [{i % 3} for i in range(7)]


def test_every_domain_needs_a_client() -> None:
    with pytest.raises(BenchmarkError, match="2 clients for 3 domains"):
        partition.by_domain(np.arange(3), np.zeros(3, np.int64), 2, None, 1, Key(0))

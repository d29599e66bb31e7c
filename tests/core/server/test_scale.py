"""Many clients: what a round costs follows its cohort, and only clients that have been seen leave anything behind."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from helpers.small_federation import many_clients


def test_a_hundred_thousand_clients_with_a_hundred_per_round(tmp_path: Path) -> None:
    ended = many_clients(100_000, 2, tmp_path)
    seen = {client for round_ in (0, 1) for client in ended.federation.cohort(round_)}
    assert len(seen) > 190  # two cohorts of 100 in 100,000 have 0.1 clients in common on average
    assert set(ended.memories.versions) == seen
    assert {path.name.split("-")[1] for path in tmp_path.glob("client-*")} == {str(client) for client in seen}


def test_memory_does_not_grow_with_the_number_of_clients(tmp_path: Path) -> None:
    peaks = {}
    for clients in (1_000, 1_000, 100_000):  # the first run also pays for what is made once
        tracemalloc.start()
        many_clients(clients, 1, tmp_path / str(len(list(tmp_path.iterdir()))))
        peaks[clients] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[100_000] - peaks[1_000] < 100_000  # less than a byte per client

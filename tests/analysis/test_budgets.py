"""Rows that train or send beyond their task's budget stand apart, with the reason in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.analysis.budgets import beyond_budget, private_images
from benchmark.analysis.tables import table
from benchmark.core.tasks import task as tasks
from benchmark.records.index import ResultsIndex
from benchmark.records.record import Record
from helpers.handmade_records import TASK, example_results, make, result, write

NOTHING = {"rounds": 1, "visits": 3, "steps": 1, "most_steps": 1, "most_images": 1, "server": {}}


def with_images(method: str, seed: int, *phases: dict[str, int]) -> Record:
    """A record whose phases fed so many images, by kind."""
    budget = [{"phase": str(number), "images": images, **NOTHING} for number, images in enumerate(phases)]
    return make(method, seed, result={**result(0.6), "budget": budget})


def with_bytes(payload: int, wire: int, way: str = "up") -> Record:
    """A record with one direction's bytes."""
    names = [["train", way, "x", payload]]
    bytes_: dict[str, Any] = {"up": 0, "down": 0, "up_wire": 0, "down_wire": 0, "by_name": names}
    return make("fedntd", 0, result={**result(0.6), "bytes": {**bytes_, way: payload, f"{way}_wire": wire}})


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        (({"private": 1000},), []),
        (({"private": 1000}, {"private": 1000, "public": 9000}), []),  # two models; public images are no private ones
        (({"private": 1000}, {"private": 5000}), ["trains on 6.0 times FedAvg's private images"]),
        (({"private": 100, "joined": 2900},), ["trains on 3.0 times FedAvg's private images"]),
    ],
)
def test_training_is_compared_with_fedavg_s(phases: tuple[dict[str, int], ...], words: list[str]) -> None:
    reference = [with_images("fedavg", seed, {"private": 1000}) for seed in range(3)]
    made = [with_images("fedntd", seed, *phases) for seed in range(3)]
    assert beyond_budget(tasks.load(TASK), made, reference) == words
    assert beyond_budget(tasks.load(TASK), made, []) == []
    assert beyond_budget(tasks.load(TASK), [make("fedntd", 0)], reference) == []  # of protocol 1: nobody counted


# 30 rounds of 3 clients: 90 messages, of which each may add 2,000 bytes, 180,000 in all, or a quarter of its payload
@pytest.mark.parametrize(
    ("payload", "wire", "words"),
    [
        (360, 3_480_000, ["sends 3.48 MB up in names and shapes beside its payload"]),
        (36_000, 210_000, []),  # 174,000 bytes in 90 messages
        (4_000_000, 4_900_000, []),  # 22 %
        (4_000_000, 5_100_000, ["sends 1.10 MB up in names and shapes beside its payload"]),
    ],
)
def test_names_are_bytes_too(payload: int, wire: int, words: list[str]) -> None:
    assert beyond_budget(tasks.load(TASK), [with_bytes(payload, wire)], []) == words


def test_a_row_beyond_its_budget_is_not_comparable_and_says_why(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(with_images("fedavg", seed, {"private": 1000}) for seed in range(3)))
    write(results, *(with_images("fedntd", seed, {"private": 9000}) for seed in range(3)))
    index = ResultsIndex.load(results)
    rows = table(index, index.tasks[TASK]).set_index("method")
    assert rows.loc["fedavg", "comparable"] and not rows.loc["fedntd", "comparable"]
    assert rows.loc["fedntd", "remarks"] == "trains on 9.0 times FedAvg's private images"
    assert private_images(with_images("fedavg", 0, {"private": 3}, {"joined": 4}).result) == 7  # type: ignore[arg-type]

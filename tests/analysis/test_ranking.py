"""Scores over tasks, by hand, by property and against a binomial law."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.analysis import ranking
from benchmark.analysis.ranking import interquartile_mean, probability_of_improvement, rankings
from benchmark.records.index import ResultsIndex
from helpers.handmade_records import fingerprint, make, write

TASKS = ("cifar10-shards", "fmnist-shards")


def test_the_middle_half_of_all_runs() -> None:
    # eight runs 1 to 8 over two tasks: two are cut at either end, 3 4 5 6 stay; of six one at either end
    assert interquartile_mean([np.array([8.0, 1.0, 3.0, 6.0]), np.array([2.0, 7.0, 5.0, 4.0])]) == 4.5
    assert interquartile_mean([np.array([1.0, 100.0, 3.0]), np.array([2.0, 5.0, -90.0])]) == 11 / 4


def test_ties_count_half_and_tasks_count_alike() -> None:
    # first task: 2 and 3 against 1 and 2: three of four pairs won, one tied: 3.5 / 4. Second: never: 0
    first, second = [np.array([2.0, 3.0]), np.array([0.0])], [np.array([1.0, 2.0]), np.array([1.0, 1.0, 1.0])]
    assert probability_of_improvement(first, second) == pytest.approx(3.5 / 8)
    assert probability_of_improvement(second, first) == pytest.approx(1 - 3.5 / 8)


def test_the_interval_is_that_of_seeds_drawn_anew() -> None:
    # With the values 0 and 1 the mean of two drawn seeds is 0, 1/2 or 1 with 1/4, 1/2, 1/4: both ends are reached.
    # With ten seeds, five 0 and five 1, half of them cut: sums of a binomial(10, 1/2). Its 2.5 and 97.5 percentiles
    # are 2 and 8: two ones among ten leave none among the middle six (two cut at either end), eight leave six of six.
    mean = ranking._interval("m", interquartile_mean, [[0.0, 1.0]])
    assert mean == {"m": 0.5, "m_low": 0.0, "m_high": 1.0}
    assert ranking._interval("m", interquartile_mean, [[0.0, 1.0] * 5]) == {"m": 0.5, "m_low": 0.0, "m_high": 1.0}
    constant = ranking._interval("m", interquartile_mean, [[0.4, 0.4], [0.4]])
    assert constant == {"m": 0.4, "m_low": 0.4, "m_high": 0.4}


def board(results: Path, **accuracies: tuple[float | None, ...]) -> None:
    """Both tasks with these accuracies per seed, None for a run that diverged."""
    for name, values in accuracies.items():
        fingerprint(results, name)
        for task in TASKS:
            write(results, *(make(name, seed, value, task=task) for seed, value in enumerate(values)))


def test_scores_between_the_controls(tmp_path: Path) -> None:
    # local 20 %, central 80 %: FedAvg's 50 % are half way, FedNTD's 65 % three quarters. One run of FedDyn diverged:
    # it has the lowest score of the task, that of FedProx with 14 %: -0.1.
    results = tmp_path / "results"
    board(results, local=(0.2, 0.2), central=(0.8, 0.8), fedavg=(0.5, 0.5), fedntd=(0.65, 0.65), fedprox=(0.14, 0.14),
          feddyn=(0.74, None))  # fmt: skip
    found = {row["method"]: row for row in _global(results).rows}
    assert {name: row["score"] for name, row in found.items()} == pytest.approx(
        {"fedntd": 0.75, "fedavg": 0.5, "feddyn": (0.9 - 0.1) / 2, "fedprox": -0.1}
    )  # of FedDyn's four runs one is cut at either end
    assert [row["method"] for row in _global(results).rows] == ["fedntd", "fedavg", "feddyn", "fedprox"]
    assert (found["feddyn"]["diverged"], found["feddyn"]["runs"]) == (0.5, 4)
    assert (found["feddyn"]["improvement"], found["fedntd"]["improvement"]) == (0.5, 1)
    assert found["fedavg"]["improvement"] is None


def _global(results: Path) -> ranking.Ranking:
    (found,) = rankings(ResultsIndex.load(results))
    assert found.track == "global"
    return found


def test_a_run_that_diverged_is_at_most_as_good_as_no_federation(tmp_path: Path) -> None:
    results = tmp_path / "results"
    board(results, local=(0.2, 0.2), central=(0.8, 0.8), fedavg=(0.5, 0.5), feddyn=(None, None))
    assert {row["method"]: row["score"] for row in _global(results).rows}["feddyn"] == 0


def test_the_untrained_network_is_the_lower_control_where_there_is_one(tmp_path: Path) -> None:
    results = tmp_path / "results"
    board(results, untrained=(0.4,), local=(0.2,), central=(0.8,), fedavg=(0.5,))
    assert _global(results).rows[0]["score"] == pytest.approx(0.25)


def test_tasks_without_a_scale_are_left_out_with_a_reason(tmp_path: Path) -> None:
    results = tmp_path / "results"
    board(results, local=(0.2,), fedavg=(0.5,))
    assert _global(results).left_out == dict.fromkeys(TASKS, "no control central") and _global(results).rows == []
    board(results, central=(0.29,))
    assert _global(results).left_out == dict.fromkeys(TASKS, "central is only 9.0 points above local")


def test_only_methods_on_all_tasks_are_ranked_and_quick_and_papers_tasks_do_not_count(tmp_path: Path) -> None:
    results = tmp_path / "results"
    board(results, local=(0.2,), central=(0.8,), fedavg=(0.5,), fedntd=(0.6,))
    fingerprint(results, "moon")
    write(results, make("moon", 0, 0.9, task=TASKS[0]))
    for task in ("digits-shards", "paper-fd-t1-mnist-m2"):
        for name in ("local", "central", "fedavg"):
            write(results, make(name, 0, 0.9, task=task))
    assert (_global(results).tasks, [row["method"] for row in _global(results).rows]) == (
        list(TASKS), ["fedntd", "fedavg"],
    )  # fmt: skip
    index = ResultsIndex.load(results)
    assert rankings(replace(index, tasks={name: task for name, task in index.tasks.items() if name not in TASKS})) == []

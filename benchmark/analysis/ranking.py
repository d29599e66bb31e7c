"""Which methods differ over tasks: mean ranks, Friedman's test, and Nemenyi's critical difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

    from benchmark.records.index import ResultsIndex

LEVEL = 0.05


@dataclass(frozen=True)
class Ranking:
    """Mean ranks (1 is best) of methods over tasks that all of them have; difference: Nemenyi's critical one at 5 %.

    rows: method, rank, low and high (half the critical difference on both sides, cut where ranks end), unlike: methods
      that differ
    """

    tasks: list[str]
    p: float
    difference: float
    rows: list[dict[str, Any]]


def ranking(made: dict[str, DataFrame], suite: ResultsIndex) -> Ranking | None:
    """Ranks by accuracy over the largest complete grid of tasks and federated methods; None below 2 tasks, 3 methods.

    Papers' own tasks are left out. Ranks carry no unit, so that tasks of several tracks may share a ranking.
    """
    accuracies = {
        task: dict(zip(rows["method"], rows["accuracy"], strict=True))
        for task, frame in made.items()
        if suite.tasks[task].tier != "paper" and len(rows := _federated(frame, suite))
    }
    tasks, methods = _grid(accuracies)
    if len(tasks) < 2 or len(methods) < 3:
        return None
    return rank([[accuracies[task][method] for method in methods] for task in tasks], tasks, methods)


def _federated(frame: DataFrame, suite: ResultsIndex) -> DataFrame:
    pooled = {name for name, facts in suite.methods.items() if facts.pooled}
    return frame[frame["comparable"] & ~frame["method"].isin(pooled)]


def _grid(accuracies: dict[str, dict[str, float]]) -> tuple[list[str], list[str]]:
    """The tasks with most methods, as many as give most cells of tasks and common methods."""
    ordered = sorted(accuracies, key=lambda task: (-len(accuracies[task]), task))
    best: tuple[list[str], list[str]] = [], []
    for count in range(2, len(ordered) + 1):
        tasks = ordered[:count]
        common = sorted(set.intersection(*(set(accuracies[task]) for task in tasks)))
        if len(common) >= 3 and len(tasks) * len(common) > len(best[0]) * len(best[1]):
            best = tasks, common
    return best


def rank(accuracies: Sequence[Sequence[float]], tasks: list[str], methods: list[str]) -> Ranking:
    """accuracies: a row per task, a column per method. Source: Demšar, JMLR 7, 2006."""
    import numpy as np
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    columns = np.array(accuracies)
    means = rankdata(-columns, axis=1).mean(axis=0)
    count = len(methods)
    difference = studentized_range.ppf(1 - LEVEL, count, inf) / sqrt(2) * sqrt(count * (count + 1) / (6 * len(tasks)))
    unlike = _unlike(columns, methods)
    rows = [
        {"method": method, "rank": round(float(mean), 3), "low": round(max(1.0, float(mean - difference / 2)), 3),
         "high": round(min(float(count), float(mean + difference / 2)), 3), "unlike": unlike[method]}
        for mean, method in sorted(zip(means, methods, strict=True))
    ]  # fmt: skip
    p = float(friedmanchisquare(*columns.T).pvalue)
    return Ranking(tasks, round(p, 6), round(float(difference), 3), rows)


def _unlike(columns: Any, methods: list[str]) -> dict[str, list[str]]:
    """Methods from which each one differs by Nemenyi's test."""
    from scikit_posthocs import posthoc_nemenyi_friedman

    p = posthoc_nemenyi_friedman(columns).to_numpy()
    return {one: [two for j, two in enumerate(methods) if p[i, j] < LEVEL] for i, one in enumerate(methods)}

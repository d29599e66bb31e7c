"""What one run's accuracy is, in %: the candidates for the number that a board ranks by."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from benchmark.records.record import Result

WINDOW = 10  # judged rounds


def final(result: Result) -> float:
    """Accuracy of the last evaluation."""
    return result.accuracy * 100


def last10(result: Result) -> float | None:
    """Mean over the last ten judged rounds; None if fewer were judged, since the mean would then hold the start."""
    if len(result.evaluations) < WINDOW:
        return None
    return 100 * fmean(evaluation.accuracy for evaluation in result.evaluations[-WINDOW:])


def mean(result: Result) -> float:
    """Mean over all evaluations, which also says how fast a method learns."""
    return 100 * fmean(evaluation.accuracy for evaluation in result.evaluations)


ESTIMATORS: dict[str, Callable[[Result], float | None]] = {"final": final, "last10": last10, "mean": mean}

MAIN = "mean"
"""The estimator that boards rank by; docs/power.md says why."""


def accuracy(result: Result) -> float:
    """A run's number on a board, in %: that of `MAIN` if ten rounds or more were judged, else the last evaluation's.

    Where few rounds are judged (clients that adapt at the end, a probe per judgement), the earlier ones judge models of
    another kind, or the start.
    """
    value = ESTIMATORS[MAIN](result) if len(result.evaluations) >= WINDOW else None
    return final(result) if value is None else value

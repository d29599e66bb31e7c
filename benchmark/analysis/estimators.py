"""What one run's accuracy is, in %: the candidates for the number that a board ranks by."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from benchmark.core.tasks.task import Track
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
"""The number that boards rank by where models are judged as training goes on."""


def accuracy(result: Result, track: Track) -> float:
    """A run's number on the boards of a track, in %.

    That of `MAIN`. On the tracks personal, where models adapt in the last phase, and unsupervised, where a probe is
    trained for each judgement, it is the last evaluation: earlier ones judge other models, or few of them.
    """
    if track in ("personal", "unsupervised"):
        return final(result)
    value = ESTIMATORS[MAIN](result)
    return final(result) if value is None else value

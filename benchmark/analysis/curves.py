"""Curves over rounds from the records of a method: accuracy and forgetting in %, MB = 1e6 bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmark.records.record import Evaluation, Record

if TYPE_CHECKING:
    from pandas import DataFrame

    from benchmark.records.index import ResultsIndex

COLUMNS = ("round", "mb", "accuracy", "low", "high", "forgetting", "forgetting_low", "forgetting_high")


def frame(suite: ResultsIndex, task: str, methods: Sequence[str]) -> DataFrame:
    """One row per method and round that all its seeds have judged; only records against which nothing speaks."""
    from pandas import DataFrame

    standing = {method: list(suite.valid_records(task, method).values()) for method in methods}
    curves = {method: over_rounds(records) for method, records in standing.items() if records}
    rows = [
        {"method": method, "seeds": len(standing[method]), **{name: curve[name][i] for name in COLUMNS}}
        for method, curve in curves.items() for i in range(len(curve["round"]))
    ]  # fmt: skip
    return DataFrame(rows, columns=["method", "seeds", *COLUMNS])


def over_rounds(made: Sequence[Record]) -> dict[str, list[Any]]:
    """Per evaluation that all seeds have: the mean over seeds, and the lowest and highest seed."""
    by_round = [{one.round: one for one in record.result.evaluations} for record in made if record.result]
    shared = sorted(set.intersection(*(set(entries) for entries in by_round)))
    steps = [[entries[number] for entries in by_round] for number in shared]
    accuracy, forgetting = (_spread(steps, pick) for pick in (lambda e: e.accuracy, lambda e: e.forgetting))
    return {
        "round": shared, "mb": [round(fmean(one.bytes for one in step) / 1e6, 3) for step in steps],
        "accuracy": accuracy[0], "low": accuracy[1], "high": accuracy[2],
        "forgetting": forgetting[0], "forgetting_low": forgetting[1], "forgetting_high": forgetting[2],
        "classes": [_classes(step) for step in steps],
    }  # fmt: skip


def _spread(steps: Sequence[Sequence[Evaluation]], pick: Callable[[Evaluation], float]) -> list[list[float]]:
    return [[round(100 * sum_up([pick(one) for one in step]), 2) for step in steps] for sum_up in (fmean, min, max)]


def _classes(step: Sequence[Evaluation]) -> list[float]:
    """Accuracy of every class, mean over seeds; [] where it was not measured."""
    return [round(100 * fmean(values), 1) for values in zip(*(one.per_class for one in step), strict=True)]

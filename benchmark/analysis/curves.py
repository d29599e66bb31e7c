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


def frame(index: ResultsIndex, task: str, methods: Sequence[str]) -> DataFrame:
    """One row per method and round that all its seeds have judged; only records that are valid."""
    from pandas import DataFrame

    valid = {method: list(index.valid_records(task, method).values()) for method in methods}
    curves = {method: over_rounds(records) for method, records in valid.items() if records}
    rows = [
        {"method": method, "seeds": len(valid[method]), **{name: curve[name][i] for name in COLUMNS}}
        for method, curve in curves.items() for i in range(len(curve["round"]))
    ]  # fmt: skip
    return DataFrame(rows, columns=["method", "seeds", *COLUMNS])


def over_rounds(records: Sequence[Record]) -> dict[str, list[Any]]:
    """Per evaluation that all seeds have: the mean over seeds, and the lowest and highest seed."""
    by_round = [
        {evaluation.round: evaluation for evaluation in record.result.evaluations}
        for record in records
        if record.result
    ]
    shared = sorted(set.intersection(*(set(entries) for entries in by_round)))
    steps = [[entries[number] for entries in by_round] for number in shared]
    accuracy, forgetting = (_spread(steps, pick) for pick in (lambda e: e.accuracy, lambda e: e.forgetting))
    return {
        "round": shared, "mb": [round(fmean(evaluation.bytes for evaluation in step) / 1e6, 3) for step in steps],
        "accuracy": accuracy[0], "low": accuracy[1], "high": accuracy[2],
        "forgetting": forgetting[0], "forgetting_low": forgetting[1], "forgetting_high": forgetting[2],
        "classes": [_classes(step) for step in steps],
    }  # fmt: skip


def _spread(steps: Sequence[Sequence[Evaluation]], pick: Callable[[Evaluation], float]) -> list[list[float]]:
    return [
        [round(100 * sum_up([pick(evaluation) for evaluation in step]), 2) for step in steps]
        for sum_up in (fmean, min, max)
    ]


def _classes(step: Sequence[Evaluation]) -> list[float]:
    """Accuracy of every class, mean over seeds; [] where it was not measured."""
    return [
        round(100 * fmean(values), 1) for values in zip(*(evaluation.per_class for evaluation in step), strict=True)
    ]

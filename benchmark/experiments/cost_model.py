"""What a cell is expected to cost: as measured for its task and method, otherwise by its work at the usual pace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from benchmark.experiments.workload import Pair, Work
from benchmark.records.store import core_seconds

Known = Mapping[Pair, float]  # core-seconds of a cell


def measured(results: Path) -> dict[Pair, float]:
    """Core-seconds of a cell by task and method, the mean over the seeds that were run."""
    seconds: dict[Pair, list[float]] = {}
    for path in results.glob("*/*/*.run.json"):
        if (value := core_seconds(path.with_suffix("").with_suffix(".json"))) is not None:
            seconds.setdefault((path.parts[-3], path.parts[-2]), []).append(value)
    return {pair: fmean(values) for pair, values in seconds.items()}


def expected(pair: Pair, known: Known, work: Mapping[Pair, Work]) -> float:
    """Core-seconds of a cell of this task and method.

    As measured for both; else its work at the mean pace of the task's methods (of all cells if none of the task's is
    known), times how much slower than that the method is elsewhere. Without `work` all cells hold the same.
    """
    if pair in known:
        return known[pair]
    task, method = pair
    paces = {cell: seconds / total for cell, seconds in known.items() if (total := _total(cell, work))}  # untrained: 0
    by_task: dict[str, list[float]] = {}
    for (name, _), pace in paces.items():
        by_task.setdefault(name, []).append(pace)
    usual = fmean(by_task.get(task) or paces.values() or [1.0])
    factors = [pace / fmean(by_task[name]) for (name, other), pace in paces.items() if other == method]
    return _total(pair, work) * usual * (fmean(factors) if factors else 1.0)


def _total(pair: Pair, work: Mapping[Pair, Work]) -> float:
    known = work.get(pair)
    return known.total if known else 1.0

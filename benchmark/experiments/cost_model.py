"""What cells cost: core-seconds as measured for task and method, otherwise from the work that the cell holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import log
from pathlib import Path
from statistics import fmean

from benchmark.experiments.workload import Pair, Work
from benchmark.records.store import core_seconds

Known = Mapping[Pair, float]  # core-seconds of a cell


def measured(results: Path) -> dict[Pair, float]:
    """Core-seconds of a cell by task and method, the mean over the seeds that were run."""
    found: dict[Pair, list[float]] = {}
    for path in results.glob("*/*/*.run.json"):
        if (seconds := core_seconds(path.with_suffix("").with_suffix(".json"))) is not None:
            found.setdefault((path.parts[-3], path.parts[-2]), []).append(seconds)
    return {pair: fmean(values) for pair, values in found.items()}


def tunings(results: Path) -> dict[str, float]:
    """Core-seconds of a method's tuning over those of its cell, the mean over the tasks that were run with both.

    More than their rounds tell where an opening phase, such as training a generator, is not shortened with them.
    """
    cells, found = measured(results), dict[str, list[float]]()
    for path in sorted(results.glob("*/tuning/*.json")):
        seconds = _searched(path)
        if seconds is not None and (cell := cells.get((path.parts[-3], path.stem))):
            found.setdefault(path.stem, []).append(seconds / cell)
    return {method: fmean(shares) for method, shares in found.items()}


def _searched(path: Path) -> float | None:
    try:
        return sum(float(point["seconds"]) for point in json.loads(path.read_bytes())["points"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def expected(pair: Pair, known: Known, work: Mapping[Pair, Work]) -> float:
    """Core-seconds of a cell of this task and method.

    As measured for both; else its work at the task's usual pace, times how much slower than usual the method is
    elsewhere. What servers do, generators among it, and evaluations count through those two. Without `work` all cells
    hold the same.
    """
    task, method = pair
    if pair in known:
        return known[pair]
    paces = {cell: seconds / _total(cell, work) for cell, seconds in known.items()}
    return _total(pair, work) * _usual(task, paces, work) * _factor(method, paces)


def _total(pair: Pair, work: Mapping[Pair, Work]) -> float:
    return work[pair].total if pair in work else 1.0


def _usual(task: str, paces: Known, work: Mapping[Pair, Work]) -> float:
    """The mean pace of the task's methods, else that of the measured task whose images cost most alike.

    The mean of everything where no work is known; 1 where nothing is.
    """
    of_task, each = _by_task(paces), {name: held.each for (name, _), held in work.items()}
    if task in of_task:
        return of_task[task]
    measured = [name for name in sorted(of_task) if name in each]
    if measured and task in each:
        return of_task[min(measured, key=lambda name: abs(log(each[name] / each[task])))]
    return fmean(paces.values()) if paces else 1.0


def _factor(method: str, paces: Known) -> float:
    """A method's pace over the mean of its task's methods, on average over tasks; 1 for a method never measured."""
    of_task = _by_task(paces)
    shares = [pace / of_task[task] for (task, name), pace in paces.items() if name == method]
    return fmean(shares) if shares else 1.0


def _by_task(paces: Known) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for (task, _), pace in paces.items():
        found.setdefault(task, []).append(pace)
    return {task: fmean(values) for task, values in found.items()}

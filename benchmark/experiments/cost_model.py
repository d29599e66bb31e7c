"""What a cell is expected to cost: as measured for its task and method, otherwise by its work at the usual pace."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmark.experiments.workload import Pair, Work
from benchmark.records.environment import processor, processor_of
from benchmark.records.store import core_seconds

Known = Mapping[Pair, float]  # core-seconds of a cell


def measured(results: Path, here: str | None = None) -> dict[Pair, float]:
    """Core-seconds of a cell on one processor by task and method, the mean over the seeds that were run.

    Where only another processor has run a cell, its seconds are scaled by the geometric mean of the ratios of all cells
    that both have run, or taken as they are if there is none.

    Args:
        results: Folder of records.
        here: The processor; this machine's by default.
    """
    here = processor() if here is None else here
    seconds: dict[str, dict[Pair, list[float]]] = {}  # by processor
    for path in results.glob("*/*/*.run.json"):
        if (value := core_seconds(path.with_suffix("").with_suffix(".json"))) is not None:
            cells = seconds.setdefault(processor_of(path), {})
            cells.setdefault((path.parts[-3], path.parts[-2]), []).append(value)
    means = {kind: {pair: fmean(values) for pair, values in cells.items()} for kind, cells in seconds.items()}
    own, scaled = means.pop(here, {}), dict[Pair, list[float]]()
    for there in means.values():
        ratios = [log(own[pair] / took) for pair, took in there.items() if own.get(pair) and took]
        factor = exp(fmean(ratios)) if ratios else 1.0
        for pair, took in there.items():
            scaled.setdefault(pair, []).append(factor * took)
    return {pair: fmean(values) for pair, values in scaled.items()} | own


class CostModel:
    """Core-seconds of a cell: as measured for its task and method, otherwise its work times a pace.

    The logarithm of a pace, seconds for an operation, is the sum of an effect of the task and one of the method, by
    least squares over all measured cells; a task or a method without a cell has the mean effect. Cells whose work is
    not known say nothing of paces; without any work all cells hold the same.

    Args:
        known: Core-seconds of measured cells.
        work: Work of cells.
    """

    def __init__(self, known: Known, work: Mapping[Pair, Work]) -> None:
        self.known, self.work = known, work
        totals = {pair: count.total for pair in known if (count := work.get(pair))}
        self.alike = not totals
        totals = totals or dict.fromkeys(known, 1.0)
        paces = {pair: log(known[pair] / total) for pair, total in totals.items() if total and known[pair]}
        self.usual = fmean(paces.values()) if paces else 0.0
        self.tasks, self.methods = _effects({pair: pace - self.usual for pair, pace in paces.items()})

    def __call__(self, pair: Pair) -> float:
        """Expected core-seconds of a task and method."""
        return self.known.get(pair) or self.forecast(pair)

    def forecast(self, pair: Pair) -> float:
        """What is expected of a cell that has not been measured."""
        count = self.work.get(pair)
        total = 1.0 if self.alike or count is None else count.total
        return total * exp(self.usual + self.tasks.get(pair[0], 0.0) + self.methods.get(pair[1], 0.0))


def _effects(paces: Mapping[Pair, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Effects of tasks and of methods whose sums are closest to these numbers; those of methods have the mean 0."""
    tasks, methods = (sorted({pair[place] for pair in paces}) for place in (0, 1))
    design = np.zeros((len(paces), len(tasks) + len(methods)))
    for row, (task, method) in enumerate(paces):
        design[row, tasks.index(task)] = design[row, len(tasks) + methods.index(method)] = 1.0
    effects = np.linalg.lstsq(design, np.array(list(paces.values())), rcond=None)[0]
    middle = effects[len(tasks) :].mean() if methods else 0.0
    of_tasks = dict(zip(tasks, (effects[: len(tasks)] + middle).tolist(), strict=True))
    return of_tasks, dict(zip(methods, (effects[len(tasks) :] - middle).tolist(), strict=True))


def errors(known: Known, work: Mapping[Pair, Work]) -> dict[Pair, float]:
    """How far off forecasts are: for each measured cell its forecast from all others, divided by what it took."""
    counted = {pair: count for pair in known if (count := work.get(pair)) and count.total and known[pair]}
    cells = {pair: known[pair] for pair in counted}
    return {
        pair: CostModel({other: cost for other, cost in cells.items() if other != pair}, counted).forecast(pair) / took
        for pair, took in cells.items()
    }

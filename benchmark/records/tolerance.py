"""Tolerance for comparing two runs of a cell across CPU types: three standard deviations of a seed difference."""

from __future__ import annotations

from math import sqrt
from statistics import fmean, variance

from benchmark.records.compare import MEASURES, content
from benchmark.records.index import ResultsIndex
from benchmark.records.record import Record

WIDTH = 3 * sqrt(2)  # standard deviations over seeds; the difference of two seeds has sqrt(2) of them


def baseline(index: ResultsIndex, task: str, method: str) -> dict[int, Record]:
    """Finished records of a method on a task as it is, by seed, whatever has become of the method since."""
    records, now = index.records.get((task, method), {}), index.tasks[task].sha256
    return {
        seed: record
        for seed, record in records.items()
        if record.result and not record.departures and record.hashes.task == now
    }


def seed_difference(index: ResultsIndex, task: str, measure: str, method: str = "") -> float | None:
    """Three standard deviations of the difference of two seeds, pooled over the methods of a task.

    Args:
        index: The records.
        task: Name of the task.
        measure: Name of a measure.
        method: A method whose own deviation counts where it is the larger one.

    Returns:
        The difference in the measure's unit; None if no method has records of two seeds.
    """
    groups = {name: baseline(index, task, name) for of_task, name in index.records if of_task == task}
    values = {
        name: [MEASURES[measure](content(record)["result"]) for record in group.values()]
        for name, group in groups.items()
    }
    variances = {name: variance(several) for name, several in values.items() if len(several) > 1}
    return WIDTH * sqrt(max(fmean(variances.values()), variances.get(method, 0.0))) if variances else None

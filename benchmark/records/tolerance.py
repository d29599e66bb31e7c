"""How far two runs of one cell may lie apart on processors that round differently: about as far as two seeds do."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from statistics import fmean, variance

from benchmark.records.index import ResultsIndex
from benchmark.records.record import Record, Result

WIDTH = 3 * sqrt(2)  # standard deviations over seeds; the difference of two seeds has sqrt(2) of them


def baseline(suite: ResultsIndex, task: str, method: str) -> dict[int, Record]:
    """Finished records of a method on a task as it is, by seed, whatever has become of the method since."""
    made = suite.records.get((task, method), {})
    now = suite.tasks[task].sha256
    return {s: one for s, one in made.items() if one.result and not one.departures and one.hashes.task == now}


def half(suite: ResultsIndex, task: str, measure: Callable[[Result], float]) -> float | None:
    """Half the width of a measure's band on a task, pooled over its methods; None if none has records of two seeds."""
    groups = [baseline(suite, name, method) for name, method in suite.records if name == task]
    values = [[measure(made.result) for made in group.values() if made.result] for group in groups]
    several = [group for group in values if len(group) > 1]
    return WIDTH * sqrt(fmean(map(variance, several))) if several else None

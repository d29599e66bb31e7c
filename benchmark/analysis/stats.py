"""Means over seeds with their intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from scipy.special import stdtr, stdtrit

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds and half the width of its 95 % t interval; half is None for a single seed."""

    mean: float
    half: float | None
    n: int


@dataclass(frozen=True)
class Paired:
    """Mean difference over common seeds, and the two-sided p value of Student's paired test (None for one seed)."""

    difference: Estimate
    p: float | None


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and t interval of one value per seed, at least one."""
    n, mean = len(values), fmean(values)
    if n == 1:
        return Estimate(mean, None, 1)
    quantile = float(stdtrit(n - 1, (1 + LEVEL) / 2))
    return Estimate(mean, quantile * stdev(values) / sqrt(n), n)


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Paired | None:
    """first - second by seed, over the seeds that both have; None if there are none."""
    differences = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
    if not differences:
        return None
    found = estimate(differences)
    if found.n == 1:
        return Paired(found, None)
    error = stdev(differences) / sqrt(found.n)
    if error == 0:
        return Paired(found, 0.0 if found.mean else 1.0)
    return Paired(found, float(2 * stdtr(found.n - 1, -abs(found.mean) / error)))

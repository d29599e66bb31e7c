"""How far a board's order would be the same with other seeds, and where the variance of its numbers comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import fmean, variance

Grid = Sequence[Sequence[float]]  # a row per method, a column per seed
SPLIT_SEEDS = 10  # seeds that are split into two halves


@dataclass(frozen=True)
class Components:
    """Where the variance of one final number, of any method and any seed, comes from.

    Attributes:
        seed: Standard deviation between seeds of one method beyond the rounds' (all of it, where rounds are unknown).
        method: Standard deviation between methods.
        round_share: Share of the rounds in the sum of the three variances.
        seed_share: Share of the seeds.
        method_share: Share of the methods.
        round_share_within: Share of the rounds in the variance of one method over seeds, at most 1.
    """

    seed: float
    method: float
    round_share: float | None
    seed_share: float
    method_share: float
    round_share_within: float | None


def components(grid: Grid, round_variance: float | None) -> Components | None:
    """Split the variance of a final number by the method of moments.

    With n seeds, W the mean over methods of the variance over seeds, B the variance of the methods' means, and R the
    variance between rounds: seed = max(0, W - R), method = max(0, B - W / n).

    Args:
        grid: Final numbers, at least two methods and two seeds.
        round_variance: R, from `round_to_round`; None if too few rounds were judged.

    Source: one-way random-effects analysis of variance, Searle, Casella, McCulloch 1992, section 3.5.
    """
    if len(grid) < 2 or len(grid[0]) < 2:
        return None
    within = fmean(variance(row) for row in grid)
    between = max(0.0, variance([fmean(row) for row in grid]) - within / len(grid[0]))
    rounds = min(round_variance or 0.0, within)
    seeds, total = within - rounds, within + between
    if total == 0:
        return None
    known = round_variance is not None
    return Components(
        seed=sqrt(seeds),
        method=sqrt(between),
        round_share=rounds / total if known else None,
        seed_share=seeds / total,
        method_share=between / total,
        round_share_within=rounds / within if known and within else None,
    )


def round_to_round(curve: Sequence[float]) -> float:
    """Variance of a curve about its straight line: sum of squared residuals of least squares / (number - 2).

    Args:
        curve: Accuracies of at least three evaluations in order.
    """
    n, middle, level = len(curve), (len(curve) - 1) / 2, fmean(curve)
    slope = sum((x - middle) * y for x, y in enumerate(curve)) / sum((x - middle) ** 2 for x in range(n))
    return sum((y - level - slope * (x - middle)) ** 2 for x, y in enumerate(curve)) / (n - 2)


def complete_grid(values: Mapping[str, Mapping[int, float]]) -> tuple[list[str], list[int]]:
    """The methods and seeds of the largest complete table of two or more of the seeds that most methods have."""
    seeds = sorted({seed for row in values.values() for seed in row})
    seeds.sort(key=lambda seed: -sum(seed in row for row in values.values()))
    best: tuple[list[str], list[int]] = [], []
    for count in range(2, len(seeds) + 1):
        methods = [name for name, row in values.items() if row.keys() >= set(seeds[:count])]
        if len(methods) * count > len(best[0]) * len(best[1]):
            best = methods, sorted(seeds[:count])
    return best


def kendall_w(grid: Grid) -> float | None:
    """Kendall's coefficient of concordance, with seeds as judges: 1 if every seed orders the methods alike.

    W = 12 S / (m^2 (k^3 - k) - m T) for m seeds and k methods, S the sum of squared deviations of the methods' rank
    sums, T the sum over seeds and groups of t ties of t^3 - t. None where all values are tied.

    Source: Kendall and Babington Smith 1939; with ties, Siegel and Castellan 1988, section 9.5.
    """
    import numpy as np
    from scipy.stats import rankdata

    table = np.asarray(grid)
    k, m = table.shape
    sums = rankdata(table, axis=0).sum(axis=1)
    ties = sum(float((counts**3 - counts).sum())
               for counts in (np.unique(column, return_counts=True)[1] for column in table.T))  # fmt: skip
    most = m**2 * (k**3 - k) - m * ties
    return float(12 * ((sums - sums.mean()) ** 2).sum() / most) if most else None


def intraclass_correlation(grid: Grid) -> float | None:
    """ICC(3,1): share of the variance of a single run, seeds' common shift aside, that is the method's.

    (MSR - MSE) / (MSR + (m - 1) MSE), from the mean squares of rows and of residuals in the two-way table.
    None where nothing varies.

    Source: Shrout and Fleiss 1979, Psychol. Bull. 86.
    """
    k, m = len(grid), len(grid[0])
    rows, columns = [fmean(row) for row in grid], [fmean(column) for column in zip(*grid, strict=True)]
    level = fmean(rows)
    between = m * sum((row - level) ** 2 for row in rows) / (k - 1)
    residual = sum(
        (value - rows[i] - columns[j] + level) ** 2 for i, row in enumerate(grid) for j, value in enumerate(row)
    ) / ((k - 1) * (m - 1))
    total = between + (m - 1) * residual
    return (between - residual) / total if total else None


def tau_between_halves(grid: Grid) -> float | None:
    """Kendall's tau-b between the orders of two disjoint halves of ten seeds, mean over all 126 ways to halve them.

    The first ten seeds where there are more; None with fewer, or where all values are tied.

    Source: Kendall 1945, Biometrika 33, for ties.
    """
    from scipy.stats import kendalltau

    if len(grid[0]) < SPLIT_SEEDS:
        return None
    taus = []
    for others in combinations(range(1, SPLIT_SEEDS), SPLIT_SEEDS // 2 - 1):  # seed 0 is in the first half
        half = {0, *others}
        first, second = (
            [fmean(row[seed] for seed in range(SPLIT_SEEDS) if (seed in half) == side) for row in grid]
            for side in (True, False)
        )
        taus.append(float(kendalltau(first, second).statistic))
    return fmean(taus) if all(tau == tau for tau in taus) else None

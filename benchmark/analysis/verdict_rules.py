"""The rules that give a claim of a paper its verdict: a margin declared beforehand, against which noise counts."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Literal

from scipy.special import stdtrit

from benchmark.analysis.stats import LEVEL, Estimate, Paired

Verdict = Literal["reproduced", "not reproduced", "inconclusive", "single run", "not measured"]
SEEDS = 3  # fewer say how far off a run is, and no more
MARGIN = 2.0  # points, rounds
RATIO_MARGIN = 0.02  # two points of a share
BITS_MARGIN = 0.005  # of the paper's number
MOST_SEEDS = 100
ROUNDING = 1e-9  # an end of an interval that is on the margin in decimal counts as within


def margin(deviation: float | None, least: float = MARGIN) -> float:
    """How far from a paper's number ours may be: `least`, or twice the deviation that the paper prints beside it."""
    return max(least, 2 * (deviation or 0.0))


def judge_number(ours: Estimate, claimed: float, margin: float) -> Verdict:
    """Verdict on a number by the 95 % interval of ours - claimed.

    The claimed number is taken as printed: its own error is in the margin, and would count twice in the interval.

    Args:
        ours: Mean over seeds with its interval.
        claimed: The paper's number.
        margin: The margin, in its unit.

    Returns:
        `reproduced` if the interval is within the margin, `not reproduced` if it is outside, `inconclusive` if it
        does neither, `single run` for fewer than three seeds.

    Source: equivalence by the inclusion of an interval, Schuirmann 1987, J. Pharmacokinet. Biopharm. 15; 95 % in place
    of the 90 % that suffice there.
    """
    if ours.n < SEEDS or ours.half is None:
        return "single run"
    off = abs(ours.mean - claimed)
    if off + ours.half <= margin + ROUNDING:
        return "reproduced"
    return "not reproduced" if off - ours.half > margin + ROUNDING else "inconclusive"


def judge_bits(values: Sequence[float], claimed: float, exact: bool) -> Verdict:
    """Verdict on the size of messages, which one run settles, since nothing is drawn.

    Args:
        values: Ours, by seed.
        claimed: The paper's number.
        exact: Whether the paper counts the same things, so that every bit must agree; else 0.5 % are allowed.
    """
    allowed = 0.0 if exact else BITS_MARGIN * abs(claimed)
    return "reproduced" if all(abs(value - claimed) <= allowed for value in values) else "not reproduced"


def seeds_for_verdict(ours: Estimate, claimed: float, margin: float) -> int | None:
    """Seeds with which an inconclusive number would have a verdict if mean and deviation stayed; None beyond 100."""
    if ours.half is None or ours.half == 0:
        return None
    deviation = ours.half * sqrt(ours.n) / stdtrit(ours.n - 1, (1 + LEVEL) / 2)
    room = abs(abs(ours.mean - claimed) - margin)
    for n in range(ours.n, MOST_SEEDS + 1):
        if stdtrit(n - 1, (1 + LEVEL) / 2) * deviation / sqrt(n) <= room:
            return n
    return None


def judge_order(differences: Sequence[Paired]) -> tuple[Verdict, float | None]:
    """Verdict on `every difference is positive`, and its p.

    Args:
        differences: Paired differences of neighbours in the order, on every task that has both.

    Returns:
        `reproduced` if all are positive with p < 0.05, `not reproduced` if one is negative with p < 0.05, `single run`
        if none has three seeds, `inconclusive` otherwise. p is the largest among the differences with three seeds:
        all of them must hold, so that no correction is due (Berger 1982, Technometrics 24).
    """
    known = [(one.difference, one.p) for one in differences if one.difference.n >= SEEDS and one.p is not None]
    if not known:
        return "single run", None
    weakest = max(p for _, p in known)
    if any(difference.mean < 0 and p < 1 - LEVEL for difference, p in known):
        return "not reproduced", weakest
    holds = len(known) == len(differences) and all(difference.mean > 0 for difference, _ in known)
    return ("reproduced" if holds and weakest < 1 - LEVEL else "inconclusive"), weakest


def judge_order_of_bits(differences: Sequence[Paired]) -> Verdict:
    """Verdict on an order of message sizes, which one run settles."""
    return "reproduced" if all(one.difference.mean > 0 for one in differences) else "not reproduced"

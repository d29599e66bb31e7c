"""How small a difference between two methods a paired t test can show, and how many seeds it takes."""

from __future__ import annotations

from math import sqrt

from scipy.special import nctdtr, nctdtrinc, stdtrit

LEVEL = 0.05
POWER = 0.8
MOST_SEEDS = 1000
MOST_DEGREES = 1e4  # a t distribution beyond is a normal one; the noncentral one's series needs a number


def detection_rate(difference: float, sd: float, n: int, prior_degrees: float = 0.0, level: float = LEVEL) -> float:
    """Probability that a two-sided paired t test finds a true difference, on the right side.

    P(T' > t) with T' noncentral t of n - 1 + prior_degrees degrees and noncentrality difference * sqrt(n) / sd, and
    t the (1 - level / 2) quantile of the central one.

    Args:
        difference: True mean difference, in the unit of sd.
        sd: Standard deviation of a difference between two methods over seeds.
        n: Number of seeds, at least 2.
        prior_degrees: What shrinking adds to the degrees of freedom (comparisons.Prior).
        level: Level of the test.

    Source: Cohen 1988, Statistical Power Analysis, section 2.5.
    """
    degrees = min(n - 1 + prior_degrees, MOST_DEGREES)
    t, shift = stdtrit(degrees, 1 - level / 2), abs(difference) * sqrt(n) / sd
    return 1 - float(nctdtr(degrees, shift, t))


def detectable(sd: float, n: int, prior_degrees: float = 0.0, level: float = LEVEL) -> float:
    """The smallest true difference that a two-sided paired t test finds with 80 % probability.

    The noncentrality with which `detection_rate` is 0.8, times sd / sqrt(n).

    Args:
        sd: Standard deviation of a difference between two methods over seeds.
        n: Number of seeds, at least 2.
        prior_degrees: What shrinking adds to the degrees of freedom (comparisons.Prior).
        level: Level of the test; 0.05 / k for the first step of Holm's correction over k comparisons.

    Returns:
        The difference, in the unit of sd.

    Source: Cohen 1988, section 2.5.
    """
    degrees = min(n - 1 + prior_degrees, MOST_DEGREES)
    return float(nctdtrinc(degrees, 1 - POWER, stdtrit(degrees, 1 - level / 2))) * sd / sqrt(n)


def seeds_needed(difference: float, sd: float, prior_degrees: float = 0.0) -> int | None:
    """The smallest number of seeds with which a difference is found with 80 % probability; None beyond 1000."""
    if sd == 0:
        return 2
    low, high = 1, 2
    while detection_rate(difference, sd, high, prior_degrees) < POWER:
        low, high = high, 2 * high
        if low >= MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if detection_rate(difference, sd, middle, prior_degrees) < POWER:
            low = middle
        else:
            high = middle
    return high if high <= MOST_SEEDS else None

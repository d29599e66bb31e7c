"""Methods of one board compared in pairs: variances shrunk over the board, Holm's correction, letters for groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from math import exp, inf, isfinite, log, sqrt
from statistics import fmean, median, variance
from string import ascii_letters

from scipy.special import digamma, polygamma, stdtr, stdtrit

LEVEL = 0.05
Values = Mapping[str, Mapping[int, float]]  # by method, then by seed


@dataclass(frozen=True)
class Prior:
    """What the variances of a board have in common.

    Attributes:
        degrees: Degrees of freedom that it is worth; 0 if nothing could be learnt, infinite if all variances are alike.
        variance: The typical variance.
    """

    degrees: float
    variance: float


NO_PRIOR = Prior(0.0, 0.0)


@dataclass(frozen=True)
class Comparison:
    """A moderated paired t test of two methods.

    Attributes:
        first: Name of a method.
        second: Name of the other one.
        difference: Mean of first - second over the seeds that both have.
        variance: Sample variance of the differences, before shrinking.
        error: Standard error of the difference, from the shrunk variance.
        degrees: Degrees of freedom of the test.
        n: Number of common seeds, at least 2.
        p: Two-sided p value.
        corrected: p after Holm's correction over the family that the comparison was asked for with.
    """

    first: str
    second: str
    difference: float
    variance: float
    error: float
    degrees: float
    n: int
    p: float
    corrected: float

    @property
    def half(self) -> float:
        """Half the 95 % interval of the difference, not corrected."""
        return float(stdtrit(self.degrees, 1 - LEVEL / 2)) * self.error

    @property
    def apart(self) -> bool:
        """Whether the two are told apart after correction."""
        return self.corrected < LEVEL


@dataclass(frozen=True)
class Comparisons:
    """All pairs of a board's methods that have at least two seeds in common.

    Attributes:
        prior: What the variances of their differences have in common.
        pairs: The comparisons; `corrected` is over all of them.
    """

    prior: Prior
    pairs: list[Comparison]

    def against(self, reference: str) -> dict[str, Comparison]:
        """Each method compared with a reference, corrected over these comparisons alone.

        Args:
            reference: Name of a method, which is `second` in every comparison.

        Returns:
            Comparisons by the other method.
        """
        found = [pair for pair in self.pairs if reference in (pair.first, pair.second)]
        corrected = holm([pair.p for pair in found])
        turned = [pair if pair.second == reference else _turned(pair) for pair in found]
        return {pair.first: replace(pair, corrected=p) for pair, p in zip(turned, corrected, strict=True)}

    @cached_property
    def letters(self) -> dict[str, str]:
        """Letters by method: two methods share a letter if, and only if, they are not told apart.

        Source: the insert-and-absorb algorithm of Piepho 2004, J. Comput. Graph. Stat. 13.
        """
        methods = sorted({name for pair in self.pairs for name in (pair.first, pair.second)})
        groups = [frozenset(methods)]
        for pair in self.pairs:
            if pair.apart:
                groups = _split(groups, pair.first, pair.second)
        scores = {name: fmean([0.0, *self._leads(name)]) for name in methods}
        groups.sort(key=lambda group: sorted(-scores[name] for name in group))
        return {
            name: "".join(_letter(place) for place, group in enumerate(groups) if name in group) for name in methods
        }

    def _leads(self, name: str) -> list[float]:
        return [pair.difference if pair.first == name else -pair.difference
                for pair in self.pairs if name in (pair.first, pair.second)]  # fmt: skip


def compare(values: Values) -> Comparisons:
    """Compare all pairs of methods that have at least two common seeds.

    Differences are paired over seeds. With few seeds each variance is poorly known, but a board has many: the
    variances of all pairs are shrunk towards their common value. The prior is fitted to all pairs, not to those with
    FedAvg, since the latter share FedAvg's noise and look more alike than they are.

    Args:
        values: One number per method and seed.

    Returns:
        The comparisons, in the order of the methods.

    Source: Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1); Holm 1979, Scand. J. Stat. 6.
    """
    samples = {}
    for first, second in combinations(values, 2):
        seeds = sorted(values[first].keys() & values[second].keys())
        if len(seeds) >= 2:
            samples[first, second] = [values[first][seed] - values[second][seed] for seed in seeds]
    variances = {pair: variance(sample) for pair, sample in samples.items()}
    degrees = {pair: len(sample) - 1 for pair, sample in samples.items()}
    prior = fit_prior(list(variances.values()), list(degrees.values()))
    pooled = sum(degrees.values())
    pairs = []
    for pair, sample in samples.items():
        error = sqrt(shrink(variances[pair], degrees[pair], prior) / len(sample))
        total = min(degrees[pair] + prior.degrees, pooled)
        p = p_value(fmean(sample), error, total)
        pairs.append(Comparison(*pair, fmean(sample), variances[pair], error, total, len(sample), p, p))
    corrected = holm([pair.p for pair in pairs])
    return Comparisons(prior, [replace(pair, corrected=p) for pair, p in zip(pairs, corrected, strict=True)])


def p_value(difference: float, error: float, degrees: float) -> float:
    """Two-sided p of Student's t; without any spread, 1 for no difference and 0 for one."""
    if error == 0:
        return 0.0 if difference else 1.0
    return float(2 * stdtr(degrees, -abs(difference) / error))


def fit_prior(variances: Sequence[float], degrees: Sequence[int]) -> Prior:
    """Fit a scaled F distribution to sample variances by the moments of their logarithms.

    Args:
        variances: Sample variances; zeros, which are pairs of rows that are one, tell nothing and are left out.
        degrees: Their degrees of freedom.

    Returns:
        The prior; NO_PRIOR with fewer than two variances.

    Source: Smyth 2004, section 6.2, as limma's `fitFDist` has it: variances below 1e-5 of the median count as that,
    and where the logarithms spread no more than chance, the degrees are infinite and the variance is the mean.
    """
    known = [(value, count) for value, count in zip(variances, degrees, strict=True) if value > 0]
    if len(known) < 2:
        return NO_PRIOR
    least = 1e-5 * median(value for value, _ in known)
    logs = [log(max(value, least)) - float(digamma(count / 2)) + log(count / 2) for value, count in known]
    spread = variance(logs) - fmean(float(polygamma(1, count / 2)) for _, count in known)
    if spread <= 0:
        return Prior(inf, fmean(value for value, _ in known))
    degrees_of_prior = 2 * trigamma_inverse(spread)
    return Prior(degrees_of_prior, exp(fmean(logs) + float(digamma(degrees_of_prior / 2)) - log(degrees_of_prior / 2)))


def trigamma_inverse(value: float) -> float:
    """x > 0 with trigamma(x) = value, by Newton's method on 1 / trigamma, which converges from below.

    Source: Smyth 2004, appendix.
    """
    if value > 1e7:
        return 1 / sqrt(value)
    if value < 1e-6:
        return 1 / value
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-8:
            break
    return x


def shrink(value: float, degrees: int, prior: Prior) -> float:
    """A sample variance moved towards the prior's, each weighted by its degrees of freedom (Smyth 2004, section 3)."""
    if not isfinite(prior.degrees):
        return prior.variance
    return (degrees * value + prior.degrees * prior.variance) / (degrees + prior.degrees)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p values, in the order given: the smallest times their number, the next times one less, ...

    No corrected value is below that of a smaller p, or above 1. Source: Holm 1979, Scand. J. Stat. 6.
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        highest = max(highest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = highest
    return corrected


def _turned(pair: Comparison) -> Comparison:
    return replace(pair, first=pair.second, second=pair.first, difference=-pair.difference)


def _split(groups: list[frozenset[str]], first: str, second: str) -> list[frozenset[str]]:
    """Groups in which the two no longer meet; none is part of another."""
    together = [group for group in groups if first in group and second in group]
    parts = [group - {name} for group in together for name in (first, second)]
    kept = [group for group in groups if group not in together]
    for part in sorted(set(parts), key=len, reverse=True):
        if not any(part <= group for group in kept):
            kept.append(part)
    return kept


def _letter(place: int) -> str:
    return ascii_letters[place] if place < len(ascii_letters) else f"({place})"

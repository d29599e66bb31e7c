"""Comparisons of a board's methods, against numbers by hand and by property."""

from __future__ import annotations

from itertools import combinations
from math import atan, exp, inf, isinf, pi, sqrt
from random import Random

import pytest

from benchmark.analysis.comparisons import (
    NO_PRIOR,
    Comparison,
    Comparisons,
    Prior,
    compare,
    fit_prior,
    holm,
    shrink,
    trigamma_inverse,
)  # fmt: skip
from benchmark.analysis.stats import paired


def test_holm_multiplies_the_smallest_p_most() -> None:
    # 0.01 * 3, then 0.03 * 2, then max(0.06, 0.04 * 1); 0.6 * 2 is cut at 1
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


def test_the_inverse_of_trigamma_at_known_values() -> None:
    # trigamma(1/2) = pi^2 / 2, trigamma(1) = pi^2 / 6, trigamma(2) = pi^2 / 6 - 1
    for x, value in ((0.5, pi**2 / 2), (1, pi**2 / 6), (2, pi**2 / 6 - 1)):
        assert trigamma_inverse(value) == pytest.approx(x, rel=1e-7)
    assert trigamma_inverse(1e-8) == pytest.approx(1e8, rel=1e-6)  # trigamma(x) is about 1 / x for large x
    assert trigamma_inverse(1e8) == pytest.approx(1e-4, rel=1e-3)  # and 1 / x^2 for small ones


def test_the_prior_of_two_variances() -> None:
    # Two degrees each: digamma(1) = -g, trigamma(1) = pi^2 / 6. Logarithms +a and -a have the variance 2 a^2; with
    # a = pi / sqrt(6) that is pi^2 / 3, of which chance explains pi^2 / 6. trigamma(d / 2) = pi^2 / 6 has d = 2.
    # log s^2 = mean(log + g) + digamma(1) - log(1) = 0.
    a = pi / sqrt(6)
    prior = fit_prior([exp(a), exp(-a), 0.0], [2, 2, 2])  # the zero counts as nothing
    assert prior.degrees == pytest.approx(2, rel=1e-6) and prior.variance == pytest.approx(1, rel=1e-6)
    assert shrink(4.0, 2, prior) == pytest.approx((2 * 4 + 2 * 1) / 4)


def test_variances_that_look_alike_are_pooled() -> None:
    prior = fit_prior([1.0, 1.5, 2.0], [2, 2, 2])
    assert prior == Prior(inf, 1.5) and shrink(9.0, 2, prior) == 1.5
    assert fit_prior([1.0], [2]) == NO_PRIOR and shrink(9.0, 2, NO_PRIOR) == 9.0


def test_a_board_of_three_methods_and_two_seeds() -> None:
    # Differences a-b: -1 and -3, a-c: 0 and -1, b-c: 1 and 2. Variances 2, 1/2, 1/2 with one degree each: their
    # logarithms have the variance 4/3 log(2)^2 = 0.64, less than trigamma(1/2) = 4.93, so they are pooled: variance 1,
    # three degrees, standard error sqrt(1 / 2). For three degrees P(T > t) = 1/2 - (x / (1 + x^2) + atan(x)) / pi with
    # x = t / sqrt(3).
    board = compare({"a": {0: 0.0, 1: 0.0}, "b": {0: 1.0, 1: 3.0}, "c": {0: 0.0, 1: 1.0}})
    assert [(pair.first, pair.second, pair.difference) for pair in board.pairs] == [
        ("a", "b", -2), ("a", "c", -0.5), ("b", "c", 1.5),
    ]  # fmt: skip
    expected = []
    for difference in (2, 0.5, 1.5):
        x = difference / sqrt(0.5) / sqrt(3)
        expected.append(1 - 2 * (x / (1 + x * x) + atan(x)) / pi)
    assert isinf(board.prior.degrees) and {pair.degrees for pair in board.pairs} == {3}
    assert [pair.p for pair in board.pairs] == pytest.approx(expected)
    # the p of a-b, the smallest, times three, that of b-c times two, that of a-c as it is
    corrected = [3 * expected[0], expected[1], 2 * expected[2]]
    assert [pair.corrected for pair in board.pairs] == pytest.approx(corrected)
    assert board.pairs[0].half == pytest.approx(3.182446 * sqrt(0.5), rel=1e-6)  # t(0.975, 3), any table


def test_comparisons_with_a_reference_are_a_family_of_their_own() -> None:
    board = compare({"a": {0: 0.0, 1: 0.0}, "b": {0: 1.0, 1: 3.0}, "c": {0: 0.0, 1: 1.0}})
    against = board.against("a")
    assert {name: pair.difference for name, pair in against.items()} == {"b": 2, "c": 0.5}
    assert against["b"].corrected == pytest.approx(2 * against["b"].p)  # two comparisons, not three
    assert board.against("b")["c"].difference == -1.5  # the reference is always what is subtracted


def test_a_single_pair_is_student_s_paired_test() -> None:
    mine, theirs = {0: 60.0, 1: 61.0, 2: 65.0, 9: 0.0}, {0: 50.0, 1: 52.0, 2: 54.0, 8: 1.0}
    (pair,) = compare({"x": mine, "y": theirs}).pairs
    student = paired(mine, theirs)
    assert student is not None and student.p is not None and student.difference.half is not None
    assert (pair.difference, pair.n, pair.degrees) == (student.difference.mean, 3, 2)
    assert pair.p == pytest.approx(student.p) and pair.half == pytest.approx(student.difference.half)


def test_rows_with_one_common_seed_are_not_compared() -> None:
    board = compare({"a": {0: 1.0, 1: 2.0}, "b": {1: 3.0}, "c": {0: 1.0, 1: 2.0}})
    assert [(pair.first, pair.second, pair.p) for pair in board.pairs] == [("a", "c", 1.0)]  # equal rows


def _board(names: str, apart: set[str]) -> Comparisons:
    """Methods from best to worst, a point between neighbours; the pairs in `apart` are told apart."""
    pairs = [
        Comparison(one, two, float(names.index(two) - names.index(one)), 1.0, 1.0, 2.0, 3, 0.5,
                   0.01 if one + two in apart else 0.5)
        for one, two in combinations(names, 2)
    ]  # fmt: skip
    return Comparisons(NO_PRIOR, pairs)


def test_letters() -> None:
    assert _board("xyz", set()).letters == {"x": "a", "y": "a", "z": "a"}
    assert _board("xyz", {"xz"}).letters == {"x": "a", "y": "ab", "z": "b"}
    assert _board("xyz", {"xy", "xz", "yz"}).letters == {"x": "a", "y": "b", "z": "c"}
    assert _board("xyz", {"xy"}).letters == {"x": "a", "y": "b", "z": "ab"}  # z is noisy: it joins both


def test_two_methods_share_a_letter_if_and_only_if_they_are_not_told_apart() -> None:
    random = Random(0)
    for _ in range(50):
        names = "abcdefgh"
        apart = {one + two for one, two in combinations(names, 2) if random.random() < 0.5}
        letters = _board(names, apart).letters
        for one, two in combinations(names, 2):
            assert bool(set(letters[one]) & set(letters[two])) == (one + two not in apart)


def test_boards_without_differences_are_rarely_told_apart() -> None:
    # 200 boards of ten equal methods, three seeds, deviations from 0.5 to 2: at 5 % about ten boards show a pair, give
    # or take three; without Holm's correction nearly every one would.
    random = Random(0)
    boards = []
    for _ in range(200):
        spreads = [0.5 + 1.5 * random.random() for _ in range(10)]
        values = {f"m{i}": {seed: random.gauss(0, sd) for seed in range(3)} for i, sd in enumerate(spreads)}
        boards.append(compare(values).pairs)
    assert sum(any(pair.apart for pair in pairs) for pairs in boards) <= 20
    assert 0.03 < sum(pair.p < 0.05 for pairs in boards for pair in pairs) / (200 * 45) < 0.08

"""Reliability of an order and components of variance, against published examples and by hand."""

from __future__ import annotations

import pytest

from benchmark.analysis import reliability
from benchmark.analysis.reliability import Components


def test_the_intraclass_correlation_of_the_published_example() -> None:
    # Shrout and Fleiss 1979, tables 2 and 4: six targets, four judges, ICC(3,1) = .71
    grid = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert reliability.intraclass_correlation(grid) == pytest.approx(0.71, abs=0.005)
    assert reliability.intraclass_correlation([[1, 2], [3, 4]]) == 1  # a common shift of a seed does not count
    assert reliability.intraclass_correlation([[1, 1], [1, 1]]) is None


def test_concordance() -> None:
    assert reliability.kendall_w([[1, 10], [2, 20], [3, 30]]) == 1
    assert reliability.kendall_w([[1, 3], [2, 2], [3, 1]]) == 0
    # Ranks by seed: 1 2 3 and 1.5 1.5 3. Sums 2.5, 3.5, 6: mean 4, S = 2.25 + 0.25 + 4 = 6.5. One tie of two:
    # T = 8 - 2 = 6. W = 12 * 6.5 / (4 * (27 - 3) - 2 * 6) = 78 / 84.
    assert reliability.kendall_w([[1, 5], [2, 5], [3, 6]]) == pytest.approx(78 / 84)
    assert reliability.kendall_w([[1, 1], [1, 1]]) is None


def test_the_order_of_two_halves_of_ten_seeds() -> None:
    assert reliability.tau_between_halves([[float(seed) for seed in range(9)]] * 2) is None
    steady = [[method + 0.01 * seed for seed in range(10)] for method in range(4)]
    assert reliability.tau_between_halves(steady) == pytest.approx(1)
    # one seed outweighs nine: the half that has it orders the two one way, the other half the other way
    assert reliability.tau_between_halves([[10.0] + [-1.0] * 9, [0.0] * 10]) == pytest.approx(-1)


def test_components_of_variance() -> None:
    # Within methods (1, 3) and (5, 7): variances 2 and 2. Means 2 and 6: variance 8, less 2 / 2 for two seeds: 7.
    # Rounds explain 0.5 of the 2: shares 0.5, 1.5 and 7 of 9.
    found = reliability.components([[1, 3], [5, 7]], 0.5)
    assert found is not None and (found.seed, found.method) == pytest.approx((1.5**0.5, 7**0.5))
    shares = (found.round_share, found.seed_share, found.method_share, found.round_share_within)
    assert shares == pytest.approx((0.5 / 9, 1.5 / 9, 7 / 9, 0.25))
    unknown = reliability.components([[1, 3], [5, 7]], None)
    assert unknown == Components(2**0.5, 7**0.5, None, 2 / 9, 7 / 9, None)
    noisy = reliability.components([[1, 3], [5, 7]], 4.0)  # more than all variance over seeds: nothing is left for it
    assert noisy is not None and (noisy.seed, noisy.round_share_within) == (0, 1)
    assert reliability.components([[1.0], [5.0]], None) is None


def test_the_variance_about_a_line() -> None:
    # 0 1 0 1: slope 1/5, squared deviations 1, of which the line explains 5 / 25; the rest over two degrees
    assert reliability.round_to_round([0, 1, 0, 1]) == pytest.approx(0.4)
    assert reliability.round_to_round([1, 2, 3, 4, 5]) == pytest.approx(0)


def test_the_largest_complete_table() -> None:
    values = {
        "a": {0: 1.0, 1: 1.0, 2: 1.0, 7: 1.0},
        "b": {0: 1.0, 1: 1.0, 2: 1.0},
        "c": {0: 1.0, 1: 1.0},
        "d": {0: 1.0},
    }
    assert reliability.complete_grid(values) == (["a", "b", "c"], [0, 1])  # six cells, before a and b with six
    assert reliability.complete_grid({"a": {0: 1.0}}) == ([], [])

"""Metrics against numbers derived by hand."""

from __future__ import annotations

from math import sqrt

import pytest

from benchmark.analysis import metrics


def test_consistency_is_the_mean_cosine_of_successive_evaluations() -> None:
    # (1, 0) to (1, 1): 1 / sqrt(2). (1, 1) to (0, 1): 1 / sqrt(2). (3, 4) / 5 to its double: 1.
    assert metrics.consistency([[1, 0], [1, 1], [0, 1]]) == pytest.approx(1 / sqrt(2))
    assert metrics.consistency([[0.3, 0.4], [0.6, 0.8]]) == pytest.approx(1)
    assert metrics.consistency([[1, 0], [0, 1]]) == 0  # a model that answers one class, then the other


def test_consistency_needs_two_evaluations_with_something_right() -> None:
    assert metrics.consistency([[0.5, 0.5]]) is None
    assert metrics.consistency([[0.5, 0.5], [0.0, 0.0], [1.0, 0.0]]) is None
    assert metrics.consistency([[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]]) == pytest.approx(1 / sqrt(2))


def test_the_worst_class_and_the_worst_tenth() -> None:
    assert metrics.worst_class([0.5, 0.25, 0.75]) == 0.25
    twenty = [0.9] * 18 + [0.1, 0.4]
    assert metrics.worst_tenth(twenty) == pytest.approx(0.25)  # two of twenty
    assert metrics.worst_tenth([*twenty, 0.7]) == pytest.approx(0.4)  # three of 21: 0.1, 0.4 and 0.7
    assert metrics.worst_tenth([0.5] * 7 + [1.0] * 63) == 0.5  # seven of 70
    assert metrics.worst_tenth([0.6, 0.2]) == 0.2


def test_the_spread_over_clients() -> None:
    # 0.2, 0.4, 0.6, 0.8: mean 0.5, squares of deviations 0.09, 0.01, 0.01, 0.09, their mean 0.05
    assert metrics.spread([0.2, 0.4, 0.6, 0.8]) == pytest.approx(sqrt(0.05))
    assert metrics.spread([0.5]) == metrics.spread([0.5, 0.5]) == 0


def test_who_gains() -> None:
    before, after = [0.5, 0.5, 0.5, 0.5], [0.75, 0.5, 0.25, 1.0]
    assert metrics.gains(before, after) == [0.25, 0.0, -0.25, 0.5]
    assert metrics.share_gaining(before, after) == 0.5  # a client that stays where it was gains nothing

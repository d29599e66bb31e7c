"""Statistics against numbers from tables and by hand."""

from __future__ import annotations

from math import sqrt

import pytest

from benchmark.analysis.stats import Estimate, estimate, paired


def test_the_interval_of_three_seeds() -> None:
    # 50, 52, 54: mean 52, standard deviation 2, t(0.975, 2) = 4.302653 (any table): half = 4.302653 * 2 / sqrt(3)
    found = estimate([50, 52, 54])
    assert (found.mean, found.n) == (52, 3)
    assert found.half == pytest.approx(4.302653 * 2 / sqrt(3), rel=1e-6)


def test_one_seed_has_no_interval() -> None:
    assert estimate([0.5]) == Estimate(0.5, None, 1)


def test_the_paired_test_uses_common_seeds_alone() -> None:
    # Differences 10, 9, 11: mean 10, standard deviation 1, t = 10 sqrt(3) = 17.3205 with 2 degrees of freedom.
    # For 2 degrees the distribution is F(t) = 1/2 + t / (2 sqrt(2 + t^2)): p = 1 - t / sqrt(2 + t^2).
    found = paired({0: 60, 1: 61, 2: 65, 9: 0}, {2: 54, 1: 52, 0: 50, 8: 99})
    assert found is not None and found.p is not None
    assert found.difference.mean == pytest.approx(10)
    t = 10 * sqrt(3)
    assert found.p == pytest.approx(1 - t / sqrt(2 + t * t), rel=1e-9)


def test_paired_edges() -> None:
    assert paired({0: 1.0}, {1: 1.0}) is None
    single = paired({0: 2.0}, {0: 1.0})
    assert single is not None and single.p is None and single.difference == Estimate(1.0, None, 1)
    same = paired({0: 2.0, 1: 3.0}, {0: 2.0, 1: 3.0})
    always = paired({0: 2.0, 1: 3.0}, {0: 1.0, 1: 2.0})
    assert same is not None and same.p == 1.0
    assert always is not None and always.p == 0.0


def test_a_loss_is_as_improbable_as_the_gain_that_mirrors_it() -> None:
    mine, theirs = {0: 60.0, 1: 61.0, 2: 65.0}, {0: 50.0, 1: 52.0, 2: 54.0}
    gain, loss = paired(mine, theirs), paired(theirs, mine)
    assert gain is not None and loss is not None and gain.p is not None
    assert loss.p == gain.p < 0.01 and loss.difference.mean == -gain.difference.mean
    always = paired({0: 1.0, 1: 2.0}, {0: 2.0, 1: 3.0})
    assert always is not None and always.p == 0.0  # without any spread, below zero as above

"""Power of a paired t test, against published sample sizes and the normal limit."""

from __future__ import annotations

from math import inf, sqrt

import pytest

from benchmark.analysis.detection import detectable, detection_rate, seeds_needed


def test_seeds_as_tables_of_sample_sizes_have_them() -> None:
    # Paired t test, two-sided 5 %, power 80 %: effects of 0.2, 0.5 and 0.8 standard deviations need 199, 34 and 15
    # pairs (Cohen 1988; G*Power 3 gives the same).
    assert [seeds_needed(effect, 1.0) for effect in (0.2, 0.5, 0.8)] == [199, 34, 15]
    assert seeds_needed(4.0, 8.0) == 34  # the scale cancels


def test_with_many_degrees_the_test_is_a_normal_one() -> None:
    # (1.959964 + 0.841621) sd / sqrt(n), quantiles of the normal distribution
    assert detectable(3.0, 4, inf) == pytest.approx(2.801585 * 3 / sqrt(4), rel=1e-3)


def test_what_is_detectable_is_found_with_80_percent() -> None:
    for n in (2, 3, 10):
        for prior in (0.0, 4.0):
            assert detection_rate(detectable(1.5, n, prior), 1.5, n, prior) == pytest.approx(0.8, abs=1e-4)


def test_three_seeds_without_shrinking() -> None:
    # The review of protocol 1 has 24 points for a deviation of 7.5: t(0.975, 2) = 4.303, noncentrality 5.65
    assert detectable(7.5, 3) == pytest.approx(5.65 * 7.5 / sqrt(3), rel=2e-3)


def test_a_stricter_level_and_fewer_degrees_need_larger_differences() -> None:
    assert detectable(1.0, 3) > detectable(1.0, 3, 5.0) > detectable(1.0, 3, inf)
    assert detectable(1.0, 5, level=0.05 / 20) > detectable(1.0, 5)


def test_no_number_of_seeds_is_given_beyond_a_thousand() -> None:
    assert seeds_needed(0.01, 1.0) is None
    assert seeds_needed(2.0, 0.0) == 2

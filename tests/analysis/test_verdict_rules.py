"""The rules of verdicts: margins, intervals and orders, by hand."""

from __future__ import annotations

from math import sqrt

import pytest

from benchmark.analysis import verdict_rules as rules
from benchmark.analysis.stats import Estimate, Paired, estimate


def test_the_margin_is_two_points_or_twice_the_paper_s_deviation() -> None:
    assert [rules.margin(deviation) for deviation in (None, 0.43, 1.0, 3.88)] == [2, 2, 2, 7.76]
    assert rules.margin(None, rules.RATIO_MARGIN) == 0.02


def test_an_interval_within_outside_or_across_the_margin() -> None:
    cases = [
        (51.0, 0.9, "reproduced"),  # 0.1 to 1.9 off
        (51.0, 1.0, "reproduced"),  # on the edge
        (51.0, 1.1, "inconclusive"),
        (50.0, 7.8, "inconclusive"),  # noise wins nothing
        (54.0, 1.9, "not reproduced"),
        (54.0, 2.0, "inconclusive"),
        (46.0, 1.9, "not reproduced"),
    ]
    for mean, half, verdict in cases:
        assert rules.judge_number(Estimate(mean, half, 3), 50.0, 2.0) == verdict
    assert rules.judge_number(Estimate(54.0, 1.9, 3), 50.0, 6.0) == "reproduced"  # a paper that prints +- 3


def test_fewer_than_three_seeds_have_no_verdict() -> None:
    for ours in (Estimate(50.0, None, 1), Estimate(50.0, 0.1, 2), Estimate(90.0, 0.1, 2)):
        assert rules.judge_number(ours, 50.0, 2.0) == "single run"


def test_the_seeds_that_a_verdict_takes() -> None:
    # 50, 52, 54 beside 51: one point off with deviation 2, so t(n - 1) * 2 / sqrt(n) must be within 1. Quantiles from
    # any table: t(17) = 2.1098, 2.1098 * 2 / sqrt(18) = 0.9946; t(16) = 2.1199, 2.1199 * 2 / sqrt(17) = 1.0283.
    ours = estimate([50.0, 52.0, 54.0])
    assert rules.judge_number(ours, 51.0, 2.0) == "inconclusive"
    assert rules.seeds_for_verdict(ours, 51.0, 2.0) == 18
    assert rules.seeds_for_verdict(ours, 49.0, 2.0) == 18  # three off: a point outside
    assert rules.seeds_for_verdict(ours, 50.0, 2.0) is None  # on the margin no number is enough
    assert ours.half is not None and ours.half == pytest.approx(4.302653 * 2 / sqrt(3), rel=1e-6)


def test_message_sizes_agree_within_half_a_percent_or_to_the_bit() -> None:
    assert rules.judge_bits([100_500.0], 100_000, exact=False) == "reproduced"
    assert rules.judge_bits([100_501.0], 100_000, exact=False) == "not reproduced"
    assert rules.judge_bits([100_000.0, 100_001.0], 100_000, exact=True) == "not reproduced"
    assert rules.judge_bits([100_000.0], 100_000, exact=True) == "reproduced"


def test_the_verdict_on_an_order() -> None:
    clear, vague = Paired(Estimate(5, 2, 3), 0.01), Paired(Estimate(1, 2, 3), 0.2)
    alone, worse, much_worse = (
        Paired(Estimate(9, None, 1), None), Paired(Estimate(-1, 2, 3), 0.2), Paired(Estimate(-5, 2, 3), 0.01),
    )  # fmt: skip
    assert rules.judge_order([clear, clear]) == ("reproduced", 0.01)
    assert rules.judge_order([clear, vague]) == ("inconclusive", 0.2)  # p of the weakest
    assert rules.judge_order([clear, alone]) == ("inconclusive", 0.01)  # one seed proves no order, and refutes none
    assert rules.judge_order([alone]) == ("single run", None)
    assert rules.judge_order([clear, worse]) == ("inconclusive", 0.2)
    assert rules.judge_order([clear, much_worse])[0] == "not reproduced"
    two_seeds = Paired(Estimate(5, 0.1, 2), 0.001)
    assert rules.judge_order([two_seeds]) == ("single run", None)


def test_one_run_settles_an_order_of_message_sizes() -> None:
    less, equal = Paired(Estimate(8.0, None, 1), None), Paired(Estimate(0.0, None, 1), None)
    assert rules.judge_order_of_bits([less]) == "reproduced"
    assert rules.judge_order_of_bits([less, equal]) == "not reproduced"

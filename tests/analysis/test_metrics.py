"""Metrics against numbers derived by hand."""

from __future__ import annotations

from math import sqrt

import pytest

from benchmark.analysis import metrics
from benchmark.records.record import Result
from helpers.handmade_records import result


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


def test_every_metric_of_a_record() -> None:
    # three classes at 0.6, 0.8, 0 and then 0.3, 0.4, 0: the same direction, so a cosine of 1; the worst client has 0.1
    evaluation = result(0.3)["evaluations"][0] | {"per_class": [0.6, 0.8, 0.0], "gradient_diversity": 1.0}
    last = evaluation | {
        "round": 30, "per_class": [0.3, 0.4, 0.0], "clients": [0.1, *[0.5] * 9], "nll": 2.5, "ece": 0.125,
        "gradient_diversity": 2.0, "weight_divergence": 0.75,
    }  # fmt: skip
    phase = {"phase": "train", "rounds": 1, "visits": 2, "steps": 4, "most_steps": 2, "most_images": 9000,
             "images": {"private": 9000, "public": 3000, "joined": 0},
             "server": {"public": 1000, "unlabelled": 500, "validation": 0}}  # fmt: skip
    content = result(0.3) | {
        "evaluations": [evaluation, last], "budget": [phase], "personal": {"gain": 0.25, "share_gaining": 0.5},
        "representation": {"angle_within": 30.0, "angle_between": 60.0, "fine_tuned": []},
    }  # fmt: skip
    content["bytes"]["delivery"] = 2_500_000
    found = {metric.name: metric.of(Result.model_validate(content)) for metric in metrics.METRICS}
    assert found == pytest.approx({
        "consistency": 1.0, "worst_class": 0.0, "client_spread": 12.0, "worst_tenth": 10.0, "gain": 25.0,
        "share_gaining": 50.0, "nll": 2.5, "ece": 12.5, "gradient_diversity": 1.5, "weight_divergence": 0.75,
        "angle_within": 30.0, "angle_between": 60.0, "delivery_mb": 2.5, "client_images": 12.0, "server_images": 1.5,
    })  # fmt: skip
    # the spread: mean 0.46, squares of deviations 0.1296 and nine times 0.0016, their mean 0.0144


def test_a_record_without_the_numbers_has_no_metric() -> None:
    found = {metric.name: metric.of(Result.model_validate(result(0.3))) for metric in metrics.METRICS}
    assert {name for name, value in found.items() if value is not None} == {"worst_class"}  # of one evaluation alone

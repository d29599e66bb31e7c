"""Measures by hand: accuracies, forgetting, in- and out-local accuracy, targets."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.client import evaluate
from benchmark.core.data.batches import Stream
from benchmark.core.errors import Diverged
from benchmark.core.keys import Key
from benchmark.core.models.functional import Model


def entries(accuracies: list[float], per_class: list[list[float]] | None = None) -> list[dict[str, Any]]:
    """Evaluations in rounds 2, 4, ... of 100 bytes per round."""
    classes = per_class or [[accuracy] for accuracy in accuracies]
    return [
        {"round": 2 * i + 2, "accuracy": accuracy, "per_class": classes[i], "bytes": 200 * i + 200}
        for i, accuracy in enumerate(accuracies)
    ]


def test_forgetting_by_hand() -> None:
    # class 0: best before the end 0.9, final 0.3: 0.6; class 1: 0.2 - 0.8 = -0.6; class 2: 0.5 - 0.2 = 0.3
    course = [[0.9, 0.1, 0.5], [0.4, 0.2, 0.4], [0.3, 0.8, 0.2]]
    assert evaluate.forgetting(course) == pytest.approx((0.6 - 0.6 + 0.3) / 3)
    assert evaluate.forgetting(course[:1]) == 0 and evaluate.forgetting([]) == 0


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=2, max_size=6))
def test_forgetting_is_an_accuracy_lost_and_never_positive_at_one_s_best(course: list[list[float]]) -> None:
    assert -1 <= evaluate.forgetting(course) <= 1
    best = np.max(course, axis=0).tolist()
    assert evaluate.forgetting([*course, best]) == 0


def test_local_accuracies_by_hand() -> None:
    # A = (8/10, 1/5, 0/5); p = (1/2, 1/2, 0): in = 0.4 + 0.1 = 0.5; out = (0.5 * 0.8 + 0.5 * 0.2 + 1 * 0) / 2 = 0.25
    inside, outside = evaluate.local_accuracies([8, 1, 0], [10, 5, 5], [0.5, 0.5, 0.0])
    assert (inside, outside) == (pytest.approx(0.5), pytest.approx(0.25))


def test_classes_that_are_never_tested_do_not_dilute_local_accuracies() -> None:
    with_two_more = evaluate.local_accuracies([8, 1, 0, 0, 0], [10, 5, 5, 0, 0], [0.5, 0.5, 0, 0, 0])
    assert with_two_more == evaluate.local_accuracies([8, 1, 0], [10, 5, 5], [0.5, 0.5, 0.0])
    assert evaluate.per_class([8, 1, 0, 0], [10, 5, 5, 0]) == [0.8, 0.2, 0.0]


def test_perfect_models_are_perfect_inside_and_outside() -> None:
    inside, outside = evaluate.local_accuracies([7, 3, 2], [7, 3, 2], [0.2, 0.3, 0.5])
    assert (inside, outside) == (pytest.approx(1), pytest.approx(1))  # the weights (1 - p) / (C - 1) add up to one


def test_accuracy_counts_samples_not_classes() -> None:
    assert evaluate.accuracy([9, 0], [10, 2]) == 0.75


def test_a_target_is_reached_strictly_above_it() -> None:
    result = evaluate.summary(entries([0.4, 0.5, 0.6, 0.45]), [0.5, 0.39, 0.6])
    assert result["targets"] == [
        {"accuracy": 0.5, "round": 6, "bytes": 600}, {"accuracy": 0.39, "round": 2, "bytes": 200},
        {"accuracy": 0.6, "round": None, "bytes": None},
    ]  # fmt: skip


def test_the_summary_has_the_end_and_the_mean_of_the_last_five() -> None:
    result = evaluate.summary(entries([0.9, 0.1, 0.2, 0.3, 0.4, 0.5]), [])
    assert result["accuracy"] == 0.5 and result["accuracy_last5"] == 0.3  # (0.1 + ... + 0.5) / 5
    assert result["forgetting"] == pytest.approx(0.9 - 0.5)
    assert [entry["forgetting"] for entry in result["evaluations"]] == pytest.approx([0, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert evaluate.summary(entries([0.25, 0.75]), [])["accuracy_last5"] == 0.5


@pytest.mark.parametrize("wild", [0, 599])
def test_one_answer_that_is_not_finite_is_enough_wherever_it_stands(wild: int) -> None:
    images = torch.zeros(600, 2, 2, 1)
    images[wild] = float("nan")
    stream = Stream(images, torch.arange(600) % 3, classes=3, mean=(0.0,), std=(1.0,))
    model = Model("mlp", (1, 2, 2), 3)
    with pytest.raises(Diverged, match="answers are not finite"):
        answers = evaluate.logits(model, model.init(Key(1)), stream, 0, 600, "fp32")
        evaluate.class_sums(answers, stream.labels, 3)


def test_hits_are_counted_per_class_and_slices_add_up() -> None:
    generator = Key(0)("evaluate").torch()
    images, labels = torch.randn(1203, 2, 2, 1, generator=generator), torch.arange(1203) % 3
    stream = Stream(images, labels, classes=3, mean=(0.0,), std=(1.0,))
    model = Model("mlp", (1, 2, 2), 3)
    params = model.init(Key(1))
    predicted = model.frozen(params, stream.inputs()).logits.argmax(1)
    expected = [int(((predicted == labels) & (labels == c)).sum()) for c in range(3)]

    def sums(start: int, stop: int) -> evaluate.ClassSums:
        answers = evaluate.logits(model, params, stream, start, stop, "fp32")
        return evaluate.class_sums(answers, labels[start:stop], 3)

    whole, parts = sums(0, 1203), evaluate.total([sums(0, 500), sums(500, 502), sums(502, 1203)])
    assert whole.hits == parts.hits == expected
    assert parts.nll == pytest.approx(whole.nll)
    assert [sum(row) for row in parts.gaps] == pytest.approx([sum(row) for row in whole.gaps], abs=1e-4)


def three_answers() -> evaluate.ClassSums:
    """Probabilities 3/4 and 1/4 for an image of class 0 and one of class 1, then 1/10 and 9/10 for one of class 1."""
    answers = torch.tensor([[log(3), 0.0], [log(3), 0.0], [0.0, log(9)]])
    return evaluate.class_sums(answers, torch.tensor([0, 1, 1]), 2)


def test_sums_of_three_answers_by_hand() -> None:
    # Confidences 0.75 and 0.9 are in bins 11 (11/15 to 12/15) and 13 (13/15 to 14/15). Correctness minus confidence is
    # 1 - 0.75 for class 0, and 0 - 0.75 and 1 - 0.9 for class 1.
    sums = three_answers()
    assert sums.hits == [1, 1]
    assert sums.nll == pytest.approx([-log(0.75), -log(0.25) - log(0.9)], abs=1e-6)
    gaps = {(c, b): gap for c, row in enumerate(sums.gaps) for b, gap in enumerate(row) if gap}
    assert gaps == {
        key: pytest.approx(gap, abs=1e-6) for key, gap in {(0, 11): 0.25, (1, 11): -0.75, (1, 13): 0.1}.items()
    }


@pytest.mark.parametrize(
    ("share", "nll", "ece"),
    [
        # of the test set: a third of each image. Bin 11 has |0.25 - 0.75| / 3, bin 13 0.1 / 3
        ([1 / 3, 2 / 3], (-log(0.75) - log(0.25) - log(0.9)) / 3, 0.2),
        ([1.0, 0.0], -log(0.75), 0.25),  # a client of class 0 alone
        # halves: an image of class 0 weighs 1/2, one of class 1 1/4. |0.125 - 0.1875| + 0.025
        ([0.5, 0.5], -log(0.75) / 2 + (-log(0.25) - log(0.9)) / 4, 0.0875),
    ],
)
def test_likelihood_and_calibration_by_hand(share: list[float], nll: float, ece: float) -> None:
    assert evaluate.negative_log_likelihood(three_answers(), [1, 2], share) == pytest.approx(nll, abs=1e-6)
    assert evaluate.calibration_error(three_answers(), [1, 2], share) == pytest.approx(ece, abs=1e-6)


def test_a_class_that_the_test_set_lacks_does_not_count() -> None:
    sums = evaluate.class_sums(torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([0]), 3)
    alone = evaluate.negative_log_likelihood(sums, [1, 0, 0], [1.0, 0.0, 0.0])
    assert evaluate.negative_log_likelihood(sums, [1, 0, 0], [1.0, 0.0, 0.5]) == pytest.approx(alone)


def test_a_sure_and_right_model_is_calibrated_and_a_sure_and_wrong_one_is_not() -> None:
    answers = torch.tensor([[100.0, 0.0]] * 4)
    right, wrong = (evaluate.class_sums(answers, torch.full((4,), label), 2) for label in (0, 1))
    assert evaluate.calibration_error(right, [4, 0], [1.0, 0.0]) == pytest.approx(0)
    assert evaluate.calibration_error(wrong, [0, 4], [0.0, 1.0]) == pytest.approx(1)
    assert evaluate.negative_log_likelihood(wrong, [0, 4], [0.0, 1.0]) == pytest.approx(100)

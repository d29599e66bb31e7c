"""Judging on a device counts as the loop does, however many batches the test set makes."""

from __future__ import annotations

import pytest
import torch

from benchmark.core.api import Algorithm
from benchmark.core.backends import EvaluateJob, WorkerConfig, stacked
from benchmark.core.backends.stacked import StackedBackend
from benchmark.core.client import evaluate
from benchmark.core.errors import Diverged
from benchmark.core.keys import Key
from benchmark.core.storage import serialization
from helpers.small_federation import small_federation


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacked, "EVAL_BATCH", 5)


def test_hits_of_all_batches_add_up() -> None:
    federation = small_federation()
    model = federation.model("mlp")
    params = model.init(Key(1))
    test = federation.test
    answers = evaluate.logits(model, params, test, 5, 28, "fp32")
    expected = evaluate.class_sums(answers, test.labels[5:28], test.classes)
    job = EvaluateJob("mlp", serialization.encode(params, "").data, 5, 28)
    (sums,) = StackedBackend(WorkerConfig(lambda _: federation, Algorithm)).map([job])
    assert sums.hits == expected.hits and sums.nll == pytest.approx(expected.nll)
    assert sum(expected.hits) > 5  # more than one batch can have


@pytest.mark.parametrize("wild", [0, 29])
def test_one_answer_that_is_not_finite_is_enough_wherever_it_stands(wild: int) -> None:
    federation = small_federation()
    federation.test.pixels[wild] = float("nan")
    params = federation.model("mlp").init(Key(1))
    job = EvaluateJob("mlp", serialization.encode(params, "").data, 0, 30)
    with pytest.raises(Diverged, match="answers are not finite"):
        StackedBackend(WorkerConfig(lambda _: federation, Algorithm)).map([job])


def test_judging_has_the_precision_of_the_run() -> None:
    # as in test_backends: 1 and 1 + 2^-10 are one number in bf16, and the first class is named
    federation = small_federation()
    model = {name: torch.zeros_like(leaf) for name, leaf in federation.model("mlp").init(Key(0)).items()}
    model["classifier.bias"] = torch.tensor([1.0, 1 + 2**-10, 0.0])
    job = EvaluateJob("mlp", serialization.encode(model, "").data, 0, 30)
    for precision, expected in (("fp32", [0, 10, 0]), ("bf16", [10, 0, 0])):
        (sums,) = StackedBackend(WorkerConfig(lambda _: federation, Algorithm, precision)).map([job])
        assert sums.hits == expected

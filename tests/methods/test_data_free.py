"""Methods whose server distils on images that it generates: numbers by hand, limits, bytes by formula."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from algorithms._data_free import mixture
from benchmark.core import method_files
from benchmark.core.api import Tensor
from helpers.constant_network import uploads
from helpers.small_federation import Outcome, run, small_federation

NUMBERS, CLASSES = 16 * 64 + 64 + 64 * 3 + 3, 3  # of the network of small_federation
FEW = {"epochs": 1, "generator_steps": 1, "student_steps": 1, "batch": 4}


def outcome_of(name: str, rounds: int = 1, **settings: Any) -> Outcome:
    method = method_files.make(name, settings)
    return run(method, small_federation(algorithm=method, rounds=rounds, cohort=4))


def made(name: str, **settings: Any) -> Any:
    return method_files.make(name, settings)


def logits(*rows: list[float]) -> Tensor:
    return torch.tensor(rows)


def test_a_mixture_weighs_clients_by_the_class_of_the_image() -> None:
    """Client 0 owns class 0, client 1 class 1; the images are of class 1 and 0."""
    answers = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    assert mixture(answers, torch.eye(2), torch.tensor([1, 0])).tolist() == [[5, 6], [3, 4]]


@pytest.mark.parametrize(("name", "left_out"), [("dense", "lam"), ("fedftg", "lam")])
def test_the_generator_s_risk_by_hand(name: str, left_out: str) -> None:
    """D = (ln 3, 0), the student (0, ln 3), the label 0: CE = ln 4/3. Both name different classes, so that omega = 1.

    KL(D || f_S) = 3/4 ln 3 - 1/4 ln 3 = ln 3 / 2. DENSE weighs it by lambda_2 = 2, FedFTG its cross-entropy.
    """
    ensemble, student = logits([math.log(3), 0.0]), logits([0.0, math.log(3)])
    right, apart = math.log(4 / 3), math.log(3) / 2
    expected = right - 2 * apart if name == "dense" else 2 * right - apart
    value = made(name, **{left_out: 2.0}).generator_risk(ensemble, student, torch.tensor([0]))
    assert float(value) == pytest.approx(expected, abs=1e-6)


def test_dense_does_not_reward_what_both_name() -> None:
    ensemble, student = logits([2.0, 0.0]), logits([1.0, 0.0])
    value = made("dense").generator_risk(ensemble, student, torch.tensor([0]))
    assert float(value) == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)


def test_co_boosting_weighs_hard_images_more() -> None:
    """D = (ln 3, 0) is sure of label 0 to 3/4: its cross-entropy counts 1/4."""
    ensemble = logits([math.log(3), 0.0])
    value = made("co_boosting").generator_risk(ensemble, ensemble, torch.tensor([0]))
    assert float(value) == pytest.approx(math.log(4 / 3) / 4, abs=1e-6)


def test_co_boosting_moves_weights_to_the_client_that_is_right() -> None:
    """Weights 1/2 move by 0.2 / 2 to 0.6 and 0.4, whose sum is one already."""
    answers = torch.stack([logits([3.0, 0.0]), logits([0.0, 3.0])])
    weights = made("co_boosting", mu=0.2).reweighted(torch.full((2, 2), 0.5), answers, torch.tensor([0]))
    assert weights.flatten().tolist() == pytest.approx([0.6, 0.6, 0.4, 0.4])


def test_fedftg_weighs_by_counts_and_draws_labels_that_clients_have() -> None:
    """Class 0: 1 and 3 images; class 1: none; class 2: client 1 alone."""
    sent = uploads((1, {"counts": torch.tensor([1, 0, 0])}), (5, {"counts": torch.tensor([3, 0, 2])}))
    method = made("fedftg")
    assert method.weights(sent, 3).tolist() == [[0.25, 0, 0], [0.75, 0, 1]]
    labels = method.labels(sent, 3, torch.Generator().manual_seed(0))
    assert set(labels.tolist()) == {0, 2}


def test_dense_is_fedavg_until_the_last_round() -> None:
    """With a rate of zero at the student's side, the last round leaves the mean as well; all sends FedAvg's bytes."""
    ours, plain = outcome_of("dense", rounds=2, student_lr=0, **FEW), outcome_of("fedavg", rounds=2)
    common = plain.server["models"]["mlp"]
    assert all(torch.equal(ours.server["models"]["mlp"][name], leaf) for name, leaf in common.items())
    assert ours.result["bytes"]["up"] == plain.result["bytes"]["up"] == 2 * 4 * 4 * NUMBERS


def test_co_boosting_without_its_terms_is_dense() -> None:
    """Nothing moves images or weights; the generator's cross-entropy still differs, so that its rate is zero here."""
    still = {"generator_lr": 0.0, **FEW}
    ours = outcome_of("co_boosting", epsilon=0, mu=0, **still).server["models"]["mlp"]
    plain = outcome_of("dense", **still).server["models"]["mlp"]
    assert all(torch.allclose(ours[name], leaf, atol=1e-6) for name, leaf in plain.items())


@pytest.mark.parametrize("name", ["dense", "co_boosting", "fedftg"])
def test_the_student_moves(name: str) -> None:
    plain = outcome_of("fedavg").server["models"]["mlp"]
    ours = outcome_of(name, **FEW).server["models"]["mlp"]
    assert all(not torch.equal(ours[name], leaf) for name, leaf in plain.items())


def test_fedftg_without_turns_is_fedavg_with_counts() -> None:
    ours, plain = outcome_of("fedftg", rounds=2, epochs=0), outcome_of("fedavg", rounds=2)
    common = plain.server["models"]["mlp"]
    assert all(torch.equal(ours.server["models"]["mlp"][name], leaf) for name, leaf in common.items())
    assert ours.result["bytes"]["up"] == plain.result["bytes"]["up"] + 2 * 4 * 4 * CLASSES


def test_the_ensemble_of_one_client_is_its_model_and_is_as_large_as_all_of_them() -> None:
    one = [run(made(name), small_federation(sizes=(8,), cohort=1)).result for name in ("ensemble", "fedavg")]
    assert one[0]["accuracy"] == one[1]["accuracy"]
    four = outcome_of("ensemble").result
    assert four["networks"]["numbers"] == 4 * NUMBERS and four["networks"]["inference"] == "own"
    assert four["bytes"]["up"] == outcome_of("fedavg").result["bytes"]["up"]

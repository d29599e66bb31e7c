"""Personalisation and the rules of aggregation beneath it: numbers by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from algorithms._adaptation import Adaptation
from algorithms.ewc import EWC, information
from algorithms.feddp import FedDP
from algorithms.fedmedian import FedMedian
from algorithms.finetune import FineTune
from algorithms.scratch import Scratch
from benchmark.core.api import Algorithm, Optim, Pass, Phase, Tree, Upload, Who
from benchmark.core.keys import Key
from helpers.small_federation import run, small_federation

TRAIN = Phase("train", 1)


def number(value: float, count: int = 1) -> Tree:
    return {"w": torch.full((count,), float(value))}


def aggregated(method: Algorithm, models: Tree, *sent: tuple[str, int, Tree]) -> Tree:
    """Models by architecture after uploads of an architecture and so many samples each."""
    uploads = [Upload(Who(i, arch, size), {"model": model}) for i, (arch, size, model) in enumerate(sent)]
    after: Tree = method.aggregate({"models": models}, uploads, TRAIN, small_federation().hub, Key(0))["models"]
    return after


@pytest.mark.parametrize("kind", [FineTune, Scratch])
def test_adaptation_has_a_length_a_batch_and_an_optimiser_of_its_own(kind: type[Adaptation]) -> None:
    method = kind(epochs=2, batch=7, lr=0.5, momentum=0.25, weight_decay=0.125)
    train, adapt = method.phases(3)
    site = small_federation(track="personal").site(0, adapt, 0)
    assert method.passes(adapt, site) == (
        Pass(epochs=2, batch=7, optim=Optim(lr=0.5, momentum=0.25, weight_decay=0.125)),
    )
    (federating,) = method.passes(train, site)
    assert (federating.epochs, federating.batch, federating.optim) == (None, None, None)


def test_a_client_deploys_its_own_model_as_soon_as_it_has_one() -> None:
    server, who = {"models": {"mlp": number(1)}}, Who(0, "mlp", 8)
    assert FineTune().local_model(server, {}, who) == number(1)
    assert FineTune().local_model(server, {"model": number(2)}, who) == number(2)


@pytest.mark.parametrize("fisher", ["sample", "batch"])
def test_the_fisher_that_is_asked_for_is_the_one_that_travels(fisher: Any) -> None:
    federation = small_federation(track="personal", public=40)
    server, public = run(EWC(epochs=1, fisher=fisher), federation).server, federation.public
    assert public is not None
    expected = information(federation.model("mlp"), server["models"]["mlp"], public, fisher)
    assert all(torch.equal(leaf, expected[name]) for name, leaf in server["fisher"]["mlp"].items())


def test_the_private_mean_is_plain_and_its_noise_does_not_shrink_with_the_cohort() -> None:
    # (2 + 6) / 2 = 4 from clients of 1 and 3 samples; the deviation of P draws is known to about sigma / sqrt(2 P)
    sent = [("mlp", 1, number(2, 10_000)), ("mlp", 3, number(6, 10_000))]
    exact, noised = (aggregated(FedDP(sigma=s), {"mlp": number(0, 10_000)}, *sent)["mlp"]["w"] for s in (0.0, 0.3))
    assert exact.unique().tolist() == [4]
    assert float((noised - exact).std()) == pytest.approx(0.3, abs=5 * 0.3 / 20_000**0.5)


def test_the_median_is_taken_within_an_architecture() -> None:
    # 1, 2 and 9 have the median 2, 5 is alone, and nobody has the third network
    sent = [("mlp", 1, number(9)), ("wide", 1, number(5)), ("mlp", 1, number(1)), ("mlp", 7, number(2))]
    models = aggregated(FedMedian(), {"mlp": number(0), "wide": number(0), "deep": number(3)}, *sent)
    assert {arch: model["w"].item() for arch, model in models.items()} == {"mlp": 2, "wide": 5, "deep": 3}

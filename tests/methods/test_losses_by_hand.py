"""Methods that exchange weights: losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from benchmark.core import method_files
from benchmark.core.api import Local, Who
from helpers.constant_network import PHASE, hub, loss_of, number, uploads, vectors
from helpers.small_federation import small_federation


def test_moon_by_hand() -> None:
    """z = z_p, at a right angle to z_g: -log(1 / (1 + e^(1 / tau))) = log(1 + e^2) for tau = 1/2; CE is log 2."""
    z, across = vectors(logits=[0, 0], features=[1, 0]), vectors(logits=[0, 0], features=[0, 2])
    local = Local(z, {"global": across, "previous": z})
    assert loss_of("moon", local, (0, 1), mu=3, tau=0.5) == pytest.approx(math.log(2) + 3 * math.log(1 + math.e**2))
    nothing = Local(z, {"global": across, "previous": across})
    assert loss_of("moon", nothing, (0, 1), mu=3) == pytest.approx(math.log(2) + 3 * math.log(2))


def test_fedlc_by_hand() -> None:
    """16, 1 and no samples: logits shifted by 1/2, 1 and 100. From (0, 0, 0) and label 0: log(1 + e^(-1/2))."""
    federation = small_federation(sizes=(17,), cohort=1)
    labels = torch.tensor([0] * 16 + [1])
    federation.data.private.labels[:] = labels.numpy()
    method = method_files.make("fedlc")
    local = method.begin({}, {"model": vectors(logits=[0, 0, 0])}, PHASE, federation.site(0, PHASE, 0))
    assert loss_of("fedlc", local, (0,)) == pytest.approx(math.log(1 + math.exp(-0.5)))


def test_fedlmd_by_hand() -> None:
    """Counts 5, 1, 1, 1 with mean 2: label 0 is a majority. Of label 1 remain 2 and 3, where the teacher says 3/4, 1/4.

    The student is uniform over 0, 2, 3: KL = 3/4 log(9/4) + 1/4 log(3/4); without teacher log(3/2). CE is log 4.
    Where label 0 alone is left beside the truth, nothing is distilled.
    """
    student, teacher = vectors(logits=[0, 0, 0, 0]), vectors(logits=[9, 5, math.log(3), 0])
    local = Local(student, {"global": teacher, "minor": torch.tensor([False, True, True, True])})
    distance = 0.75 * math.log(9 / 4) + 0.25 * math.log(3 / 4)
    assert loss_of("fedlmd", local, (1, 1)) == pytest.approx(math.log(4) + distance)
    assert loss_of("fedlmd", local, (1,), teacher=False) == pytest.approx(math.log(4) + math.log(1.5))
    alone = Local(vectors(logits=[0, 0]), {"global": vectors(logits=[3, 1]), "minor": torch.tensor([False, True])})
    assert loss_of("fedlmd", alone, (1,)) == pytest.approx(math.log(2))


def test_fedgkd_by_hand() -> None:
    """Global models 1, 2, 4 in a buffer of two: the teacher is 3. KL((3/4, 1/4) || (1/2, 1/2)) is weighted by 0.1."""
    method, server, key = (
        method_files.make("fedgkd", {"buffer": 2}),
        {"models": {"mlp": number(0)}},
        small_federation().key,
    )
    for value in (1, 2, 4):
        server = method.aggregate(server, uploads((1, {"model": number(value)})), PHASE, hub((1,)), key)
    assert server["teachers"]["mlp"]["w"].item() == pytest.approx(3)
    site, who = small_federation().site(0, PHASE, 0), Who(0, "mlp", 1)
    for size, teacher in ((2, 3), (1, 4)):  # the one that arrives, or the received model
        told = method_files.make("fedgkd", {"buffer": size})
        begun = told.begin({}, told.download(server, who, PHASE, key), PHASE, site)
        assert (begun.params["w"].item(), begun.context["teacher"]["w"].item()) == pytest.approx((4, teacher))
    local = Local(vectors(logits=[0, 0]), {"teacher": vectors(logits=[math.log(3), 0])})
    distance = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert loss_of("fedgkd", local, (0,)) == pytest.approx(math.log(2) + 0.1 * distance)


def test_every_model_of_moon_has_its_own_head() -> None:
    """ReLU makes (1, 0) of the features (1, -1) and (1, -5); the received head alone swaps both numbers: cosine 0.

    So z = z_p, at a right angle to z_g, as without a head above.
    """
    head = vectors(moon_in=[[1, 0], [0, 1]], moon_in_bias=[0, 0], moon_out=[[1, 0], [0, 1]], moon_out_bias=[0, 0])
    swapped = {**head, **vectors(moon_out=[[0, 1], [1, 0]])}
    z, z_p = ({**vectors(logits=[0, 0], features=[1, second]), **head} for second in (-1, -5))
    local = Local(z, {"global": {**vectors(logits=[0, 0], features=[1, 0]), **swapped}, "previous": z_p})
    value = loss_of("moon", local, (0, 1), mu=3, tau=0.5, head=True)
    assert value == pytest.approx(math.log(2) + 3 * math.log(1 + math.e**2))


@pytest.mark.parametrize(("name", "weight"), [("fedntd", "beta"), ("fedlmd", "beta"), ("fedgkd", "coefficient")])
def test_distillation_at_a_temperature(name: str, weight: str) -> None:
    """T = 2 makes (3/4, 1/4) of the logits (2 ln 3, 0); the student is even. T^2 = 4 restores the gradient's size.

    FedNTD and FedLMD leave out the true class, where the teacher is surest; FedGKD has no third class here.
    """
    front = [] if name == "fedgkd" else [9.0]
    teacher = vectors(logits=[*front, 2 * math.log(3), 0])
    context = {"global": teacher, "teacher": teacher, "minor": torch.ones(len(front) + 2, dtype=torch.bool)}
    student = vectors(logits=[0.0] * (len(front) + 2))
    distance = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    expected = math.log(len(front) + 2) + 0.5 * 4 * distance
    assert loss_of(name, Local(student, context), (0,), tau=2, **{weight: 0.5}) == pytest.approx(expected)

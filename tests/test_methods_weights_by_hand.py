"""Methods that exchange weights: numbers by hand."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytest
import torch
from small import small_federation
from torch import Tensor

from benchmark import catalog
from benchmark.core import ops
from benchmark.core.api import Batch, Local, Phase, Tree, Upload, Who
from benchmark.core.task import Optimiser, Train

PHASE = Phase("train", 1)


class Answer(NamedTuple):
    logits: Tensor
    features: Tensor


class Table:
    """A network that reads its answers off its parameters: one row of logits and features for every sample."""

    buffers: frozenset[str] = frozenset()

    def weights(self, params: Tree) -> Tree:
        return params

    def __call__(self, params: Tree, x: Tensor) -> Answer:
        logits: Tensor = params["logits"]
        features: Tensor = {"features": logits, **params}["features"]
        return Answer(logits.expand(len(x), -1), features.expand(len(x), -1))

    frozen = __call__


def batch(*labels: int) -> Batch:
    return Batch(torch.zeros(len(labels), 1), torch.tensor(labels), torch.arange(len(labels)))


def loss_of(name: str, local: Local, labels: tuple[int, ...], **settings: Any) -> float:
    method = catalog.make(name, settings)
    return float(method.loss(local.params, local, batch(*labels), Table())[0])  # type: ignore[arg-type]


def vectors(**values: list[Any]) -> Tree:
    return {name: torch.tensor(value, dtype=torch.float) for name, value in values.items()}


def uploads(*sent: tuple[int, Tree]) -> list[Upload]:
    """From clients of so many samples."""
    return [Upload(Who(number, "mlp", size), message) for number, (size, message) in enumerate(sent)]


def number(value: float) -> Tree:
    return {"w": torch.tensor([value], dtype=torch.float)}


def hub(sizes: tuple[int, ...], **settings: Any) -> Any:
    """The server's view of a federation with one network whose only weight is w."""
    federation = small_federation(sizes=sizes, cohort=1, **settings)
    view = federation.hub
    table: Any = {"mlp": Table()}
    return type(view)(**{**vars(view), "models": table})


def test_steps_with_momentum() -> None:
    """Momentum 1/2: a unit gradient moves by 1, then by 1.5, so 2.5 in two steps; without momentum by 1 each."""
    assert ops.effective_steps(2, 0.5) == pytest.approx(2.5)
    assert ops.effective_steps(7, 0.0) == 7


def test_fedavgm_by_hand() -> None:
    """From 10 to a mean of 8: m = 2, w = 8. To a mean of 7: m = 2 / 2 + 1 = 2, w = 6, with beta = 1/2."""
    method = catalog.make("fedavgm", {"beta": 0.5})
    server: Tree = {"models": {"mlp": number(10)}, "momentum": {"mlp": number(0)}}
    for mean, after in ((8, 8), (7, 6)):
        sent = uploads((1, {"model": number(mean - 1)}), (1, {"model": number(mean + 1)}))
        server = method.aggregate(server, sent, PHASE, hub((1,)), small_federation().key)
        assert server["models"]["mlp"]["w"].item() == pytest.approx(after)
        assert server["momentum"]["mlp"]["w"].item() == pytest.approx(2)


def test_scaffold_by_hand() -> None:
    """From 1 to 0.4 in 3 steps of rate 0.1 the mean gradient is 2: c_i goes from 0.5 to 0.5 - 0.2 + 2 = 2.3.

    Two of four clients report changes of 1.8 and 0.2: c moves by 2 / 4 of their mean 1, from 0.2 to 0.7. The model is
    the plain mean of 0.4 and 1, not that by sizes 1 and 5, which is 0.9.
    """
    method, site = catalog.make("scaffold"), small_federation(lr=0.1).site(0, PHASE, 0)
    message = {"model": number(1), "control": number(0.2)}
    memory, sent = method.finish({"control": number(0.5)}, Local(number(0.4), steps=3, lr=0.1), message, PHASE, site)
    assert sent is not None
    assert memory["control"]["w"].item() == pytest.approx(2.3)
    assert sent["change"]["w"].item() == pytest.approx(1.8)
    server = {"models": {"mlp": number(1)}, "control": number(0.2)}
    both = uploads((1, {"model": number(0.4), "change": number(1.8)}), (5, {"model": number(1), "change": number(0.2)}))
    after = method.aggregate(server, both, PHASE, hub((1, 5, 1, 1)), small_federation().key)
    assert after["control"]["w"].item() == pytest.approx(0.7)
    assert after["models"]["mlp"]["w"].item() == pytest.approx(0.7)
    weighted = catalog.make("scaffold", {"weighted": True, "share": 1})
    after = weighted.aggregate(server, both, PHASE, hub((1, 5, 1, 1)), small_federation().key)
    assert after["models"]["mlp"]["w"].item() == pytest.approx(0.9)
    assert after["control"]["w"].item() == pytest.approx(1.2)


def test_fednova_by_hand() -> None:
    """Batches of 4: 1 and 3 steps, p = 1/4 and 3/4, tau_eff = 2.5. From 0 to 1 and 6: 2.5 (1/4 · 1 + 3/4 · 2) = 4.375.

    FedAvg would be at 4.75. With variance reduction d moves by n_i / n of the changes: 4/32 · 2 + 12/32 · 4 = 1.75.
    """
    method, server = catalog.make("fednova"), dict[str, Any](models={"mlp": number(0)})
    view, key = hub((4, 12, 16), batch=4), small_federation().key
    sent = uploads((4, {"model": number(1), "change": number(2)}), (12, {"model": number(6), "change": number(4)}))
    assert method.aggregate(server, sent, PHASE, view, key)["models"]["mlp"]["w"].item() == pytest.approx(4.375)
    reduced = catalog.make("fednova", {"variance_reduction": True})
    server |= {"drift": number(0), "samples": torch.tensor(32)}
    assert reduced.aggregate(server, sent, PHASE, view, key)["drift"]["w"].item() == pytest.approx(1.75)


def test_feddyn_by_hand() -> None:
    """Two of four clients go from 2 to 3 and 5: h / alpha = -(1 + 3) / 4 = -1, w = 4 + 1; by sizes 1 and 3, 4.5 + 1."""
    server, key = {"models": {"mlp": number(2)}, "shift": number(0)}, small_federation().key
    sent = uploads((1, {"model": number(3)}), (3, {"model": number(5)}))
    for weighted, expected in ((False, 5.0), (True, 5.5)):
        after = catalog.make("feddyn", {"weighted": weighted}).aggregate(server, sent, PHASE, hub((1, 3, 1, 1)), key)
        assert after["models"]["mlp"]["w"].item() == pytest.approx(expected)


def test_fedcurv_pulls_towards_the_others() -> None:
    """The sums are F = 5 and F w = 4, of which 3 and 1 are ours: the others' F = 2, F w = 3.

    At w = 1 and lambda = 1/2 the slope of lambda (F w^2 - 2 F w_j w) is 2 · 1/2 (2 · 1 - 3) = -1; it vanishes at 3/2.
    """
    method, site, moves = catalog.make("fedcurv", {"lam": 0.5}), small_federation().site(0, PHASE, 0), []
    own, sums = {"fisher": number(3), "pull": number(1)}, {"fisher": number(5), "pull": number(4)}

    def update(local: Local, gradients: Tree) -> Local:
        moves.append(gradients["w"].item())
        return local

    for w, slope in ((1.0, -1.0), (1.5, 0.0)):
        local = method.begin(own, {"model": number(w), **sums}, PHASE, site)
        method.step(local, batch(0), lambda local, batch: (number(0), {}), update)
        assert moves[-1] == pytest.approx(slope)


@pytest.mark.parametrize(("size", "batches"), [(9, 1), (10, 2), (500, 3)])
def test_fedcurv_measures_until_more_than_size_samples_are_seen(size: int, batches: int) -> None:
    """25 samples in batches of 10: after one batch 10 > 9, after two 20 > 10, and there are only three."""
    site = small_federation(sizes=(25,), cohort=1, batch=10).site(0, PHASE, 0)
    assert catalog.make("fedcurv", {"size": size}).passes(PHASE, site)[1].steps == batches


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
    federation.given.private.labels[:] = labels.numpy()
    method = catalog.make("fedlc")
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
    method, server, key = catalog.make("fedgkd", {"buffer": 2}), {"models": {"mlp": number(0)}}, small_federation().key
    for value in (1, 2, 4):
        server = method.aggregate(server, uploads((1, {"model": number(value)})), PHASE, hub((1,)), key)
    assert server["teachers"]["mlp"]["w"].item() == pytest.approx(3)
    site, who = small_federation().site(0, PHASE, 0), Who(0, "mlp", 1)
    for size, teacher in ((2, 3), (1, 4)):  # the one that arrives, or the received model
        told = catalog.make("fedgkd", {"buffer": size})
        begun = told.begin({}, told.download(server, who, PHASE, key), PHASE, site)
        assert (begun.params["w"].item(), begun.context["teacher"]["w"].item()) == pytest.approx((4, teacher))
    local = Local(vectors(logits=[0, 0]), {"teacher": vectors(logits=[math.log(3), 0])})
    distance = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert loss_of("fedgkd", local, (0,)) == pytest.approx(math.log(2) + 0.1 * distance)


def test_scaffold_counts_steps_without_their_momentum_if_told_so() -> None:
    """From 1 to 0.4 in 3 steps of rate 0.1: 0.6 / 0.3 = 2. With momentum 0.9 they count as 1 + 1.9 + 2.71 = 5.61."""
    site, message = small_federation(momentum=0.9).site(0, PHASE, 0), {"model": number(1), "control": number(0)}
    for adaptive, slope in ((False, 2), (True, 0.6 / 0.561)):
        local, method = Local(number(0.4), steps=3, lr=0.1), catalog.make("scaffold", {"adaptive": adaptive})
        memory, _ = method.finish({"control": number(0)}, local, message, PHASE, site)
        assert memory["control"]["w"].item() == pytest.approx(slope)


def test_fednova_takes_the_task_s_steps_and_leaves_a_stale_drift() -> None:
    """Two steps for everyone, so as FedAvg: 1/4 · 1 + 3/4 · 6 = 4.75."""
    train = Train(batch=4, steps=2, optimiser=Optimiser(lr=0.1))
    view, key, method = hub((4, 12), train=train), small_federation().key, catalog.make("fednova")
    sent = uploads((4, {"model": number(1), "change": number(2)}), (12, {"model": number(6), "change": number(4)}))
    server = {"models": {"mlp": number(0)}, "drift": number(0), "samples": torch.tensor(16)}
    assert method.aggregate(server, sent, PHASE, view, key)["models"]["mlp"]["w"].item() == pytest.approx(4.75)
    stale = catalog.make("fednova", {"variance_reduction": True, "stale": True})
    assert stale.aggregate(server, sent, PHASE, view, key)["drift"]["w"].item() == 0


def test_fedcurv_measures_in_batches_of_its_own() -> None:
    """Sample by sample, more than 3 of 25 are seen after 4."""
    site = small_federation(sizes=(25,), cohort=1, batch=10).site(0, PHASE, 0)
    _, measure = catalog.make("fedcurv", {"size": 3, "batch": 1}).passes(PHASE, site)
    assert (measure.steps, measure.batch) == (4, 1)


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


@pytest.mark.parametrize(("epochs", "after"), [(1, -175.2), (2, -177.0)])
def test_fednova_counts_steps_with_their_momentum(epochs: int, after: float) -> None:
    """With momentum 1/2 steps move by 1, 3/2, 7/4, 15/8: clients of 4 and 8 by 1 and 5/2, in two epochs 5/2 and 49/8.

    p = 1/3 and 2/3, so tau_eff = 2, then 59/12, and tau_eff p / a = 2/3 and 8/15, then 59/90 and 236/441. From 0 to 90
    and -441: 60 - 235.2, then 59 - 236.
    """
    view, server = hub((4, 8), batch=4, momentum=0.5, epochs=epochs), {"models": {"mlp": number(0)}}
    sent = uploads((4, {"model": number(90)}), (8, {"model": number(-441)}))
    model = catalog.make("fednova").aggregate(server, sent, PHASE, view, small_federation().key)["models"]["mlp"]
    assert model["w"].item() == pytest.approx(after)


def test_fednova_takes_the_mean_gradient_at_the_rate_of_the_round() -> None:
    """From 1 to 0.4 in 3 steps of 0.1, where the task began with 0.2: 2, and 2.3 without the correction of -0.3."""
    site, message = small_federation(lr=0.2).site(0, PHASE, 0), {"model": number(1), "drift": number(0.2)}
    local = Local(number(0.4), {"correction": number(-0.3)}, steps=3, lr=0.1)
    for stale, drift in ((False, 2.3), (True, 2.0)):
        method = catalog.make("fednova", {"variance_reduction": True, "stale": stale})
        memory, sent = method.finish({"drift": number(0.5)}, local, message, PHASE, site)
        assert sent is not None and memory["drift"]["w"].item() == pytest.approx(drift)
        assert sent["change"]["w"].item() == pytest.approx(drift - 0.5)


def test_a_network_that_nobody_trained_keeps_still_under_momentum() -> None:
    """Only clients of the first network are there: 10 to a mean of 8 with m = 2 and beta = 1/2 is 7, and m = 3."""
    names, federation = ("mlp", "mlp_wide"), small_federation()
    server: Tree = {"models": {n: number(10) for n in names}, "momentum": {n: number(2) for n in names}}
    method, sent = catalog.make("fedavgm", {"beta": 0.5}), uploads((1, {"model": number(8)}))
    server = method.aggregate(server, sent, PHASE, federation.hub, federation.key)
    assert [server["models"][name]["w"].item() for name in names] == [7, 10]
    assert [server["momentum"][name]["w"].item() for name in names] == [3, 2]

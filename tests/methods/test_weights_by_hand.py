"""Methods that exchange weights: numbers by hand of steps, servers and memories."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmark.core import method_files, ops
from benchmark.core.api import Local, Tree
from benchmark.core.tasks.task import Optimiser, Train
from helpers.constant_network import PHASE, batch, hub, number, uploads
from helpers.small_federation import small_federation


def test_steps_with_momentum() -> None:
    """Momentum 1/2: a unit gradient moves by 1, then by 1.5, so 2.5 in two steps; without momentum by 1 each."""
    assert ops.effective_steps(2, 0.5) == pytest.approx(2.5)
    assert ops.effective_steps(7, 0.0) == 7


def test_fedavgm_by_hand() -> None:
    """From 10 to a mean of 8: m = 2, w = 8. To a mean of 7: m = 2 / 2 + 1 = 2, w = 6, with beta = 1/2."""
    method = method_files.make("fedavgm", {"beta": 0.5})
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
    method, site = method_files.make("scaffold"), small_federation(lr=0.1).site(0, PHASE, 0)
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
    weighted = method_files.make("scaffold", {"weighted": True, "share": 1})
    after = weighted.aggregate(server, both, PHASE, hub((1, 5, 1, 1)), small_federation().key)
    assert after["models"]["mlp"]["w"].item() == pytest.approx(0.9)
    assert after["control"]["w"].item() == pytest.approx(1.2)


def test_fednova_by_hand() -> None:
    """Batches of 4: 1 and 3 steps, p = 1/4 and 3/4, tau_eff = 2.5. From 0 to 1 and 6: 2.5 (1/4 · 1 + 3/4 · 2) = 4.375.

    FedAvg would be at 4.75. With variance reduction d moves by n_i / n of the changes: 4/32 · 2 + 12/32 · 4 = 1.75.
    """
    method, server = method_files.make("fednova"), dict[str, Any](models={"mlp": number(0)})
    view, key = hub((4, 12, 16), batch=4), small_federation().key
    sent = uploads((4, {"model": number(1), "change": number(2)}), (12, {"model": number(6), "change": number(4)}))
    assert method.aggregate(server, sent, PHASE, view, key)["models"]["mlp"]["w"].item() == pytest.approx(4.375)
    reduced = method_files.make("fednova", {"variance_reduction": True})
    server |= {"drift": number(0), "samples": torch.tensor(32)}
    assert reduced.aggregate(server, sent, PHASE, view, key)["drift"]["w"].item() == pytest.approx(1.75)


def test_feddyn_by_hand() -> None:
    """Two of four clients go from 2 to 3 and 5: h / alpha = -(1 + 3) / 4 = -1, w = 4 + 1; by sizes 1 and 3, 4.5 + 1."""
    server, key = {"models": {"mlp": number(2)}, "shift": number(0)}, small_federation().key
    sent = uploads((1, {"model": number(3)}), (3, {"model": number(5)}))
    for weighted, expected in ((False, 5.0), (True, 5.5)):
        after = method_files.make("feddyn", {"weighted": weighted}).aggregate(
            server, sent, PHASE, hub((1, 3, 1, 1)), key
        )
        assert after["models"]["mlp"]["w"].item() == pytest.approx(expected)


def test_fedcurv_pulls_towards_the_others() -> None:
    """The sums are F = 5 and F w = 4, of which 3 and 1 are ours: the others' F = 2, F w = 3.

    At w = 1 and lambda = 1/2 the slope of lambda (F w^2 - 2 F w_j w) is 2 · 1/2 (2 · 1 - 3) = -1; it vanishes at 3/2.
    """
    method, site, moves = method_files.make("fedcurv", {"lam": 0.5}), small_federation().site(0, PHASE, 0), []
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
    assert method_files.make("fedcurv", {"size": size}).passes(PHASE, site)[1].steps == batches


def test_scaffold_counts_steps_without_their_momentum_if_told_so() -> None:
    """From 1 to 0.4 in 3 steps of rate 0.1: 0.6 / 0.3 = 2. With momentum 0.9 they count as 1 + 1.9 + 2.71 = 5.61."""
    site, message = small_federation(momentum=0.9).site(0, PHASE, 0), {"model": number(1), "control": number(0)}
    for adaptive, slope in ((False, 2), (True, 0.6 / 0.561)):
        local, method = Local(number(0.4), steps=3, lr=0.1), method_files.make("scaffold", {"adaptive": adaptive})
        memory, _ = method.finish({"control": number(0)}, local, message, PHASE, site)
        assert memory["control"]["w"].item() == pytest.approx(slope)


def test_fednova_takes_the_task_s_steps_and_leaves_a_stale_drift() -> None:
    """Two steps for everyone, so as FedAvg: 1/4 · 1 + 3/4 · 6 = 4.75. Nobody sends a drift that stays at zero."""
    train = Train(batch=4, steps=2, optimiser=Optimiser(lr=0.1))
    view, key = hub((4, 12), train=train), small_federation().key
    sent = uploads((4, {"model": number(1)}), (12, {"model": number(6)}))
    for settings in ({}, {"variance_reduction": True, "stale": True}):
        server = method_files.make("fednova", settings).aggregate(
            {"models": {"mlp": number(0)}}, sent, PHASE, view, key
        )
        assert server["models"]["mlp"]["w"].item() == pytest.approx(4.75)
        assert "drift" not in server


@pytest.mark.parametrize(("steps", "after"), [(None, 4.5), (5, 5.02551)])
def test_fednova_counts_no_batch_of_one_image_where_batchnorm_skips_it(steps: int | None, after: float) -> None:
    """Batches of 4, two epochs: 2 steps for 4 images, of 4 steps for 5 images two are skipped, of 6 for 9 images two.

    p = 4/18, 5/18, 9/18 and a = 2, 2, 4: tau_eff = 3. From 0 to 2, 2 and 8: 3 (4/18 · 1 + 5/18 · 1 + 9/18 · 2) = 4.5.
    In 5 steps the second skips its second and fourth batch, the third its third: a = 5, 3, 4, tau_eff = 71/18. From 0
    to 2, 2 and 8: 71/18 (4/18 · 2/5 + 5/18 · 2/3 + 9/18 · 2) = 71/18 · 172/135 = 5.02551.
    """
    train = Train(batch=4, epochs=2, steps=steps, optimiser=Optimiser(lr=0.1))
    view, key = hub((4, 5, 9), frozenset({"mean"}), train=train), small_federation().key
    sent = uploads((4, {"model": number(2)}), (5, {"model": number(2)}), (9, {"model": number(8)}))
    server = method_files.make("fednova").aggregate({"models": {"mlp": number(0)}}, sent, PHASE, view, key)
    assert server["models"]["mlp"]["w"].item() == pytest.approx(after)


def test_fedcurv_measures_in_batches_of_its_own() -> None:
    """Sample by sample, more than 3 of 25 are seen after 4."""
    site = small_federation(sizes=(25,), cohort=1, batch=10).site(0, PHASE, 0)
    _, measure = method_files.make("fedcurv", {"size": 3, "batch": 1}).passes(PHASE, site)
    assert (measure.steps, measure.batch) == (4, 1)


@pytest.mark.parametrize(("epochs", "after"), [(1, -175.2), (2, -177.0)])
def test_fednova_counts_steps_with_their_momentum(epochs: int, after: float) -> None:
    """With momentum 1/2 steps move by 1, 3/2, 7/4, 15/8: clients of 4 and 8 by 1 and 5/2, in two epochs 5/2 and 49/8.

    p = 1/3 and 2/3, so tau_eff = 2, then 59/12, and tau_eff p / a = 2/3 and 8/15, then 59/90 and 236/441. From 0 to 90
    and -441: 60 - 235.2, then 59 - 236.
    """
    view, server = hub((4, 8), batch=4, momentum=0.5, epochs=epochs), {"models": {"mlp": number(0)}}
    sent = uploads((4, {"model": number(90)}), (8, {"model": number(-441)}))
    model = method_files.make("fednova").aggregate(server, sent, PHASE, view, small_federation().key)["models"]["mlp"]
    assert model["w"].item() == pytest.approx(after)


def test_fednova_takes_the_mean_gradient_at_the_rate_of_the_round() -> None:
    """From 1 to 0.4 in 3 steps of 0.1, where the task began with 0.2: 2, and 2.3 without the correction of -0.3."""
    site, message = small_federation(lr=0.2).site(0, PHASE, 0), {"model": number(1), "drift": number(0.2)}
    local = Local(number(0.4), {"correction": number(-0.3)}, steps=3, lr=0.1)
    for stale, drift in ((False, 2.3), (True, 2.0)):
        method = method_files.make("fednova", {"variance_reduction": True, "stale": stale})
        memory, sent = method.finish({"drift": number(0.5)}, local, message, PHASE, site)
        assert sent is not None and memory["drift"]["w"].item() == pytest.approx(drift)
        assert stale or sent["change"]["w"].item() == pytest.approx(drift - 0.5)


def test_a_network_that_nobody_trained_keeps_still_under_momentum() -> None:
    """Only clients of the first network are there: 10 to a mean of 8 with m = 2 and beta = 1/2 is 7, and m = 3."""
    names, federation = ("mlp", "mlp_wide"), small_federation()
    server: Tree = {"models": {n: number(10) for n in names}, "momentum": {n: number(2) for n in names}}
    method, sent = method_files.make("fedavgm", {"beta": 0.5}), uploads((1, {"model": number(8)}))
    server = method.aggregate(server, sent, PHASE, federation.hub, federation.key)
    assert [server["models"][name]["w"].item() for name in names] == [7, 10]
    assert [server["momentum"][name]["w"].item() for name in names] == [3, 2]

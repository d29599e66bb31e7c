"""Work beyond the task's budget ends a run, whatever a method promises; work that its fields name does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch

from benchmark.core import tree
from benchmark.core.api import Algorithm, Batch, Gradient, Hub, Key, Local, Pass, Phase, Site, Tree, Update, Who, hyper
from benchmark.core.client.allowance import BudgetExceeded, allowed_updates
from benchmark.core.client.federation import Federation
from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks.task import Extra
from helpers.small_federation import run, small_federation


@dataclass(frozen=True)
class Phased(Algorithm):
    """Phases of its own."""

    all: tuple[Phase, ...] = ()

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        return self.all


OPENING = Phase("a", 1, everyone=True), Phase("b", 1, everyone=True)


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ((Phase("train", 3),), ""),
        ((*OPENING, Phase("train", 3)), ""),
        ((Phase("train", 1),), ""),
        ((Phase("train", 30),), "phases: 30 rounds where the task has 3"),
        ((*OPENING, Phase("train", 3), Phase("more", 1)), "phases: 6 rounds where the task has 3"),
        ((Phase("train", 3, everyone=True),), "phases: 3 rounds of all 4 clients where the task's have 2"),
        ((*OPENING, Phase("c", 1, everyone=True)), "phases: 3 rounds of all 4 clients"),
    ],
)
def test_rounds_are_the_task_s_and_two_more(phases: tuple[Phase, ...], words: str) -> None:
    if not words:
        assert run(Phased(phases), small_federation(rounds=3)).result
        return
    with pytest.raises(BudgetExceeded, match=words):
        run(Phased(phases), small_federation(rounds=3))


def test_everyone_may_always_take_part_where_the_task_has_everyone() -> None:
    assert run(Phased((Phase("train", 3, everyone=True),)), small_federation(rounds=3, cohort=4)).result


@dataclass(frozen=True)
class Passing(Algorithm):
    """One pass of its own; `own` is a field, so that a record names it."""

    make: Callable[[int], Pass] = lambda own: Pass()
    own: int = hyper(7)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return (self.make(self.own),)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda own: Pass(epochs=own), ""),  # 7 epochs of 2 batches, and a field says 7
        (lambda own: Pass(steps=own), ""),
        (lambda own: Pass(steps=2), ""),  # as many as the task's epoch has
        (lambda own: Pass(epochs=6), "the visit took 12 optimiser steps where the task allows 2"),
        (lambda own: Pass(steps=9), "the visit took 9 optimiser steps where the task allows 2"),
        (lambda own: Pass(batch=2), "the visit took 4 optimiser steps where the task allows 2"),
        (lambda own: Pass("public", epochs=6), "the visit took 18 optimiser steps where the task allows 3"),
    ],
)
def test_steps_are_the_task_s_or_those_of_fields(make: Callable[[int], Pass], words: str) -> None:
    """Eight images of a client in batches of 4, and twelve public ones."""
    if not words:
        assert run(Passing(make), small_federation(public=12)).result
        return
    with pytest.raises(BudgetExceeded, match=f"phase train, round 1, client .: {words}"):
        run(Passing(make), small_federation(public=12))


def test_pooled_data_train_as_long_as_they_like() -> None:
    @dataclass(frozen=True)
    class Pooled(Passing):
        pooled = True

    assert run(Pooled(lambda own: Pass(epochs=6)), small_federation(algorithm=Pooled())).result


def test_allowed_steps_count_a_short_batch_and_half_batches_of_views() -> None:
    train = small_federation(batch=4, epochs=3).train
    assert allowed_updates(Pass(), 9, train, []) == 3 * 3  # 4 + 4 + 1
    assert allowed_updates(Pass(stream="views"), 9, train, []) == 3 * 4  # two images a step
    assert allowed_updates(Pass(epochs=20, batch=2), 9, train, [20, 2]) == 20 * 5
    assert allowed_updates(Pass(epochs=20, batch=2), 9, train, [20]) == 20 * 3
    counted = replace(train, steps=5)  # of the task, which an epoch of a field's wins over
    assert [allowed_updates(Pass(epochs=20), 9, counted, given) for given in ([], [20])] == [5, 20 * 3]


@dataclass(frozen=True)
class Stepping(Algorithm):
    """Takes some gradients a step."""

    gradients: int = 1

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        for _ in range(self.gradients - 1):
            slopes, _ = gradient(local, batch)
            for name, slope in slopes.items():
                local.params[name].sub_(slope, alpha=0.01)
        return super().step(local, batch, gradient, update)


def test_a_step_has_two_gradients_at_most() -> None:
    assert run(Stepping(2), small_federation()).result
    with pytest.raises(BudgetExceeded, match="a step computes 3 gradients of a batch, where 2 are allowed"):
        run(Stepping(3), small_federation())


@dataclass(frozen=True)
class Wide(Algorithm):
    """Sends wider layers than the network has, at the start or to the judge alone."""

    where: str = "start"

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        return {"models": {"mlp": _wider(server["models"]["mlp"])}} if self.where == "start" else server

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        model: Tree = server["models"][arch]
        return _wider(model) if self.where == "judge" else {**model, "more": torch.zeros(3)}


def _wider(model: Tree) -> Tree:
    return {
        **model,
        "linear_1.weight": model["linear_1.weight"].repeat(3, 1),
        "linear_1.bias": model["linear_1.bias"].repeat(3),
        "classifier.weight": model["classifier.weight"].repeat(1, 3),
    }


@pytest.mark.parametrize("where", ["start", "judge"])
def test_networks_are_as_wide_as_the_task_s(where: str) -> None:
    assert run(Wide("neither"), small_federation()).result
    with pytest.raises(BenchmarkError, match=r"has shape \(\d+(, \d+)?\), in mlp it has"):
        run(Wide(where), small_federation())


def test_another_network_than_the_task_s_may_only_have_further_heads() -> None:
    small_federation(networks=("mlp",), algorithm=_named("mlp+projection"))
    for name in ("mlp_wide", "resnet8", "mlp2+projection"):
        with pytest.raises(BudgetExceeded, match=r"network: .* in place of the task's mlp; return mlp, or mlp\+HEAD"):
            small_federation(networks=("mlp",), algorithm=_named(name))


def _named(name: str) -> Algorithm:
    @dataclass(frozen=True)
    class Named(Algorithm):
        def network(self, arch: str) -> str:
            return name

    return Named()


@dataclass(frozen=True)
class Secret(Algorithm):
    """Trains where nobody counts."""

    where: str = ""

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local.having(params=_trained(local.params)) if self.where == "begin" else local

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return client, {"model": _trained(local.params) if self.where == "finish" else local.params}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        model = server["models"][who.arch]
        return {"model": _trained(model) if self.where == "download" else model}

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        if self.where == "local_model":
            return None
        model: Tree = server["models"][arch]
        return _trained(model) if self.where == "global_model" else model

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        return _trained(server["models"][who.arch])


def _trained(model: Tree) -> Tree:
    leaves = {name: leaf.detach().clone().requires_grad_() for name, leaf in tree.walk(model)}
    loss = torch.stack([leaf.square().sum() for leaf in leaves.values()]).sum()
    slopes = torch.autograd.grad(loss, list(leaves.values()))
    return {name: leaf.detach() - slope for (name, leaf), slope in zip(leaves.items(), slopes, strict=True)}


@pytest.mark.parametrize("where", ["begin", "finish", "download", "global_model", "local_model"])
def test_there_are_no_gradients_outside_of_passes_and_of_the_server_s_training(where: str) -> None:
    assert run(Secret(), small_federation()).result
    with pytest.raises(BenchmarkError, match="does not require grad"):
        run(Secret(where), small_federation())


@pytest.mark.parametrize(
    ("needs", "public", "labels", "unlabelled", "validation"),
    [
        ((), False, False, False, False),
        (("public",), True, False, False, False),
        (("labelled public",), True, True, False, False),
        (("unlabelled",), False, False, True, False),
        (("validation",), False, False, False, True),
    ],
)
def test_images_that_a_method_does_not_ask_for_stay_away(
    needs: tuple[str, ...], public: bool, labels: bool, unlabelled: bool, validation: bool
) -> None:
    whole = small_federation(public=6, validation=4)
    one = Federation(whole.task, 0, whole.data, needs=needs)
    for side in (one.hub.public, one.site(0, Phase("train", 1), 0).public):
        assert (side is not None) == public
        assert side is None or bool((side.labels >= 0).all()) == labels
    assert (one.hub.unlabelled is not None) == unlabelled and (one.hub.validation is not None) == validation
    assert one.hub.unlabelled is None or bool((one.hub.unlabelled.labels == -1).all())


def test_public_labels_that_a_task_withholds_stay_away() -> None:
    whole = small_federation(public=6)
    task = whole.task.model_copy(update={"public": Extra(size=6, labels="none")})
    one = Federation(task, 0, whole.data, needs=("labelled public",))
    assert one.public is not None and bool((one.public.labels == -1).all())


@pytest.mark.parametrize(("name", "fits"), [("x" * 128, True), ("x" * 129, False), ("ff" * 5000, False)])
def test_a_name_is_no_place_for_data(name: str, fits: bool) -> None:
    @dataclass(frozen=True)
    class Naming(Algorithm):
        def finish(
            self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
        ) -> tuple[Tree, Tree | None]:
            return client, {"model": local.params, name: torch.zeros(1)}

    if fits:
        assert run(Naming(), small_federation()).result
        return
    with pytest.raises(BenchmarkError, match="cannot name an entry; names are strings of 1 to 128 characters"):
        run(Naming(), small_federation())


@pytest.mark.parametrize("make", [lambda own: Pass(batch=own), lambda own: Pass("public", batch=own, steps=own)])
def test_a_pass_that_batchnorm_lets_take_no_step_is_refused(make: Callable[[int], Pass]) -> None:
    method = Passing(make, own=1)  # batches of one image
    assert run(method, small_federation(networks=("mlp",), public=5)).result
    with pytest.raises(BenchmarkError, match="batches of one image teach a network with BatchNorm nothing"):
        run(method, small_federation(networks=("mlp_bn",), public=5))

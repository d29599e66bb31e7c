"""Personal models beside the federated one: numbers by hand, limits, and what travels."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from benchmark.core import method_files
from benchmark.core import tree as trees
from benchmark.core.api import Local, Tree, Who
from benchmark.core.client.federation import Federation
from helpers.constant_network import PHASE, ConstantNetwork, batch, number, vectors
from helpers.small_federation import Outcome, run, small_federation

BODY, HEAD = 16 * 64 + 64, 64 * 3 + 3  # numbers in the network of small_federation
VISITS = 2 * 3  # two clients in each of three rounds
METHODS = ("apfl", "ditto", "fedbabu", "fedbn", "fedper", "fedrep", "fedrod")


def federation(**settings: Any) -> Federation:
    return small_federation(sizes=(8, 6, 9, 5), track="personal", validation=6, **settings)


def traffic(outcome: Outcome) -> tuple[int, int]:
    return outcome.result["bytes"]["up"], outcome.result["bytes"]["down"]


@pytest.mark.parametrize("name", ["fedper", "fedrep"])
def test_the_classifier_never_travels(name: str) -> None:
    outcome = run(method_files.make(name), federation())
    up, _ = traffic(outcome)
    assert up == VISITS * 4 * BODY
    assert not trees.select(outcome.server["models"]["mlp"], "classifier.")


@pytest.mark.parametrize("name", ["ditto", "apfl", "fedrod", "fedbabu"])
def test_the_whole_common_model_travels_and_nothing_else(name: str) -> None:
    settings = {"epochs": 1} if name == "fedbabu" else {}
    assert traffic(run(method_files.make(name, settings), federation()))[0] == VISITS * 4 * (BODY + HEAD)


def test_fedper_s_clients_answer_with_their_own_classifier() -> None:
    method = method_files.make("fedper")
    server, client = (
        {"models": {"mlp": {"body.w": torch.tensor(1.0)}}},
        {"private": {"classifier.w": torch.tensor(2.0)}},
    )
    assert method.local_model(server, client, Who(0, "mlp", 1)).keys() == {"body.w", "classifier.w"}
    assert method.global_model(server, "mlp") is None


def test_fedrep_trains_the_classifier_first_and_the_body_after_it() -> None:
    head, body = method_files.make("fedrep", {"head_epochs": 4}).passes(PHASE, federation().site(0, PHASE, 0))
    assert head.only == "classifier." and head.epochs == 4
    assert not any(name.startswith("classifier.") for name in body.only) and len(body.only) == 2


def test_fedbn_keeps_the_layers_with_running_statistics() -> None:
    """A layer "norm" with statistics and a layer "conv" without: all of norm stays, all of conv travels."""
    table = ConstantNetwork()
    table.buffers = frozenset({"norm.running_mean"})
    params = {name: torch.zeros(1) for name in ("conv.weight", "norm.weight", "norm.bias", "norm.running_mean")}
    method = method_files.make("fedbn")
    assert method.private(table, params).keys() == {"norm.weight", "norm.bias", "norm.running_mean"}  # type: ignore[arg-type]
    assert method.shared(table, params).keys() == {"conv.weight"}  # type: ignore[arg-type]


def test_fedbn_without_batchnorm_is_fedavg() -> None:
    ours, plain = (run(method_files.make(name), federation()) for name in ("fedbn", "fedavg"))
    assert all(torch.equal(leaf, plain.server["models"]["mlp"][n]) for n, leaf in ours.server["models"]["mlp"].items())
    assert traffic(ours) == traffic(plain)


def test_fedbabu_s_classifier_stays_where_it_started() -> None:
    """After one round and after three the common classifier is the same and the body is not; adaptation moves both."""
    method = method_files.make("fedbabu", {"epochs": 1})
    short, long = (run(method, federation(rounds=rounds)) for rounds in (1, 3))
    one, three = (outcome.server["models"]["mlp"] for outcome in (short, long))
    same = {name for name in one if torch.equal(one[name], three[name])}
    assert same == {"classifier.weight", "classifier.bias"}
    assert not torch.equal(long.memories[0]["model"]["classifier.weight"], three["classifier.weight"])


def test_ditto_pulls_the_client_s_own_model_to_the_received_one() -> None:
    """v = 3, w = 1, lambda = 1/2: the slope 0.25 of the loss becomes 0.25 + 1/2 (3 - 1) = 1.25."""
    method, seen = method_files.make("ditto", {"lam": 0.5}), []

    def update(local: Local, gradients: Tree) -> Local:
        seen.append(gradients["w"].item())
        return local

    local = Local(number(3), context={"global": number(1)})
    method.personal_step(local, batch(0), lambda local, batch: (number(0.25), {}), update)
    assert seen == [pytest.approx(1.25)]


def test_ditto_s_common_model_is_fedavg_s() -> None:
    ours, plain = (run(method_files.make(name), federation(momentum=0.9)) for name in ("ditto", "fedavg"))
    assert all(torch.equal(leaf, plain.server["models"]["mlp"][n]) for n, leaf in ours.server["models"]["mlp"].items())
    assert all("personal" in memory for memory in ours.memories.values())


def test_apfl_by_hand() -> None:
    """v = 4, w = 0, alpha = 1/4: the mixture is 1, and its slope 8 moves v by 0.1 * 1/4 * 8 = 0.2."""
    method, asked = method_files.make("apfl", {"alpha": 0.25}), []

    def gradient(local: Local, batch: Any) -> tuple[Tree, Tree]:
        asked.append(local.params["w"].item())
        return number(8), {}

    local = Local(number(0), carry={"own": number(4)}, lr=0.1)
    after, _ = method.step(local, batch(0), gradient, lambda local, gradients: local)
    assert asked == [0, pytest.approx(1)]
    assert after.carry["own"]["w"].item() == pytest.approx(3.8)


def test_apfl_with_alpha_zero_deploys_the_model_that_the_client_sends() -> None:
    outcome = run(method_files.make("apfl", {"alpha": 0}), federation())
    plain = run(method_files.make("fedavg"), federation())
    assert all(
        torch.equal(leaf, plain.server["models"]["mlp"][n]) for n, leaf in outcome.server["models"]["mlp"].items()
    )


def test_fedrod_s_losses_by_hand() -> None:
    """Even logits, three samples of class 0 and one of class 1.

    Balanced: prior logits (ln 3, 0), so that the loss of class 1 is ln 4. Own logits (0, 0): ln 2 on top.
    """
    method = method_files.make("fedrod")
    params = vectors(logits=[0, 0], features=[1], **{"own.weight": [[0], [0]], "own.bias": [0, 0]})
    local = Local(params, context={"prior": torch.tensor([3.0, 1.0]).log()})
    value, _ = method.loss(params, local, batch(1), ConstantNetwork())  # type: ignore[arg-type]
    assert float(value) == pytest.approx(math.log(4) + math.log(2), abs=1e-6)


def test_fedrod_deploys_both_classifiers_as_one() -> None:
    method = method_files.make("fedrod")
    model = {"classifier.weight": torch.tensor([[1.0]]), "classifier.bias": torch.tensor([2.0])}
    own = {"weight": torch.tensor([[0.5]]), "bias": torch.tensor([-1.0])}
    deployed = method.local_model({"models": {"mlp": model}}, own, Who(0, "mlp", 1))
    assert deployed["classifier.weight"].item() == 1.5 and deployed["classifier.bias"].item() == 1


def test_fedrod_s_own_classifier_leaves_the_body_alone() -> None:
    """Its gradient stops at features and logits: with tau = 0 the common model moves as FedAvg's."""
    ours, plain = (run(method_files.make(*which), federation()) for which in (("fedrod", {"tau": 0}), ("fedavg", {})))
    assert all(torch.equal(leaf, plain.server["models"]["mlp"][n]) for n, leaf in ours.server["models"]["mlp"].items())
    assert all(memory["weight"].abs().max() > 0 for memory in ours.memories.values())

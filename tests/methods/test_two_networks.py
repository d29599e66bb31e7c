"""Methods with two networks at a client: numbers by hand, limits, bytes by formula."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from algorithms.fedkd import factors, product
from benchmark.core import method_files
from benchmark.core import tree as trees
from benchmark.core.api import Local, Tensor, Tree, Upload
from benchmark.core.keys import Key
from helpers.constant_network import Answer, batch, vectors
from helpers.small_federation import Outcome, run, small_federation

BODY, HEAD, WIDTH, CLASSES = 16 * 64 + 64, 64 * 3 + 3, 64, 3  # of the network of small_federation
VISITS = 2 * 3  # two clients in each of three rounds


class TwoConstants:
    """Two networks that read their answers off their parameters."""

    def __getitem__(self, name: str) -> Any:
        def network(params: Tree, x: Tensor) -> Answer:
            logits, features = params[f"{name}.logits"], params.get(f"{name}.features", torch.zeros(1))
            return Answer(logits.expand(len(x), -1), features.expand(len(x), -1))

        return network


def loss_of(name: str, params: Tree, **settings: Any) -> float:
    method: Any = method_files.make(name, settings)
    return float(method.loss(params, Local(params), batch(0), TwoConstants())[0])


def outcome_of(name: str, **settings: Any) -> Outcome:
    method = method_files.make(name, settings)
    return run(method, small_federation(algorithm=method, track="personal"))


# p = (1/2, 1/2), m = (3/4, 1/4), the label is 0
PARAMS = vectors(**{"private.logits": [0, 0], "shared.logits": [math.log(3), 0]})
CE_P, CE_M = math.log(2), math.log(4 / 3)
KL_MP = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)  # KL(m || p)
KL_PM = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)


def test_fml_s_loss_by_hand() -> None:
    expected = 0.75 * CE_P + 0.25 * KL_MP + 0.5 * CE_M + 0.5 * KL_PM
    assert loss_of("fml", PARAMS, alpha=0.75, beta=0.5) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("attached", [False, True])
def test_fml_s_networks_take_each_other_as_fixed_unless_attached(attached: bool) -> None:
    """With alpha = 1 and beta = 0 the private network moves by its own cross-entropy: slope (-1/2, 1/2) at (0, 0).

    Attached, KL(p || m) moves it too: slope p_i (log p_i / m_i - KL), of which -1/2 log 3 / 2 = -0.27 is added.
    """
    method: Any = method_files.make("fml", {"alpha": 1, "beta": 0, "attached": attached})
    params = {name: leaf.clone().requires_grad_() for name, leaf in PARAMS.items()}
    value, _ = method.loss(params, Local(params), batch(0), TwoConstants())
    (slope,) = torch.autograd.grad(value, params["private.logits"])
    more = 0.5 * (math.log(2 / 3) - KL_PM) if attached else 0.0
    assert slope.tolist() == pytest.approx([-0.5 + more, 0.5 - more], abs=1e-6)


def test_fml_without_distillation_is_fedavg_beside_local_training() -> None:
    ours = outcome_of("fml", alpha=1, beta=1)
    plain, alone = outcome_of("fedavg"), outcome_of("local")
    shared, common = ours.server["models"]["mlp"], plain.server["models"]["mlp"]
    assert all(torch.equal(shared[f"shared.{name}"], leaf) for name, leaf in common.items())
    for client, memory in alone.memories.items():
        assert all(torch.equal(ours.memories[client][f"private.{n}"], leaf) for n, leaf in memory["model"].items())
    assert ours.result["accuracy"] == alone.result["accuracy"]
    assert ours.result["bytes"]["up"] == plain.result["bytes"]["up"] == VISITS * 4 * (BODY + HEAD)


def test_a_named_meme_is_averaged_over_all_architectures() -> None:
    method = method_files.make("fml", {"meme": "mlp"})
    federation = small_federation(algorithm=method, track="heterogeneous", networks=("mlp", "mlp_wide"), cohort=4)
    outcome = run(method, federation)
    one, two = outcome.server["models"].values()
    assert all(torch.equal(one[name], two[name]) for name in one) and one["shared.classifier.weight"].shape == (3, 64)
    assert outcome.result["bytes"]["down"] == 4 * 3 * 4 * (BODY + HEAD)


def test_fedkd_s_loss_by_hand() -> None:
    """Features 1 and 3 are 4 apart, counted once for each network."""
    params = {**PARAMS, **vectors(**{"private.features": [1], "shared.features": [3]})}
    task = CE_P + CE_M
    assert loss_of("fedkd", params) == pytest.approx(task + (KL_MP + KL_PM + 8) / task, abs=1e-5)


def test_fedkd_keeps_the_fewest_singular_values_that_hold_the_energy() -> None:
    """diag(3, 1) has energies 9 and 1 of 10: one value holds 80 %, two 95 %."""
    change = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    assert torch.allclose(product(factors(change, 0.8)), torch.tensor([[3.0, 0.0], [0.0, 0.0]]), atol=1e-6)
    assert torch.allclose(product(factors(change, 0.95)), change, atol=1e-6)
    assert factors(change, 0.8)["left"].shape == (1, 2)
    image = torch.randn(4, 2, 3, 3, generator=Key(0).torch())
    assert torch.allclose(product(factors(image, 1.0)).reshape(image.shape), image, atol=1e-5)


def test_fedkd_sends_factors() -> None:
    """Rank 1: a row of each side of both matrices, and both biases whole; the round's number goes down."""
    ours = outcome_of("fedkd", start=0, end=0)
    assert ours.result["bytes"]["up"] == VISITS * 4 * ((16 + 64) + 64 + (64 + CLASSES) + CLASSES)
    assert ours.result["bytes"]["down"] == VISITS * (4 * (BODY + HEAD) + 8)


def test_fedkd_at_full_energy_averages_the_models() -> None:
    """The change of all of it, averaged, is the average of the models: what the two networks' base class does."""
    method: Any = method_files.make("fedkd", {"start": 1, "end": 1})
    server = {"models": {"mlp": {"shared.w": torch.eye(2)}}, "round": torch.tensor(0)}
    changes = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 0.0], [0.0, 5.0]])]
    who = small_federation(sizes=(1, 3)).hub.whos
    sent = [Upload(w, {"change": {"shared.w": factors(c, 1.0)}}) for w, c in zip(who, changes, strict=True)]
    after = method.aggregate(server, sent, None, None, Key(0))
    expected = torch.eye(2) + 0.25 * changes[0] + 0.75 * changes[1]
    assert torch.allclose(after["models"]["mlp"]["shared.w"], expected, atol=1e-5) and after["round"] == 1


def test_fedmrl_s_loss_by_hand() -> None:
    """Features 1 and 2 fuse to 3 by (1, 1). The shared classifier answers (0, 0): ln 2. The private one (3, 0)."""
    params = vectors(**{
        "private.logits": [0, 0], "private.features": [2], "shared.logits": [0, 0], "shared.features": [1],
        "fuse.weight": [[1, 1]], "fuse.bias": [0],
        "shared.classifier.weight": [[0], [0]], "private.classifier.weight": [[1], [0]],
    })  # fmt: skip
    expected = 2 * math.log(2) + math.log(1 + math.exp(-3))
    assert loss_of("fedmrl", params, m1=2) == pytest.approx(expected, abs=1e-6)


def test_fedmrl_answers_as_the_private_network_where_the_projection_picks_its_features() -> None:
    method: Any = method_files.make("fedmrl")
    federation = small_federation(algorithm=method, track="personal")
    model = federation.model("mlp")
    picked = torch.cat([torch.zeros(WIDTH, WIDTH), torch.eye(WIDTH)], 1)
    params = {**model.init(Key(0)), "fuse.weight": picked, "fuse.bias": torch.zeros(WIDTH)}
    x = federation.test.inputs()
    assert torch.allclose(method.predict(params, x, model), model["private"].frozen(params, x).logits, atol=1e-5)


def test_fedmrl_sends_the_shared_network_and_is_judged_with_both() -> None:
    outcome = outcome_of("fedmrl")
    assert outcome.result["bytes"]["up"] == VISITS * 4 * (BODY + HEAD)
    networks = outcome.result["networks"]
    assert networks["numbers"] == 2 * (BODY + HEAD) + 2 * WIDTH * WIDTH + WIDTH
    assert [entry[1:] for entry in networks["declared"]] == [
        ("private", "mlp", BODY + HEAD), ("shared", "mlp", BODY + HEAD)
    ]  # fmt: skip
    assert all(trees.select(memory, "fuse.") for memory in outcome.memories.values())

"""Methods that answer by a rule of their own: FedTHE's weighing at test time, FedGKT's network at the server."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from algorithms._server_training import answer, descend, two_layers
from benchmark.core import method_files
from benchmark.core.api import Local, Optim
from benchmark.core.keys import Key
from helpers.constant_network import ConstantNetwork, batch, vectors
from helpers.small_federation import Outcome, run, small_federation

NUMBERS, WIDTH, CLASSES = 16 * 64 + 64 + 64 * 3 + 3, 64, 3  # of the network of small_federation
VISITS = 2 * 3  # two clients in each of three rounds


def outcome_of(name: str, rounds: int = 3, **settings: Any) -> Outcome:
    method = method_files.make(name, settings)
    return run(method, small_federation(algorithm=method, track="personal", rounds=rounds, momentum=0.9))


def heads() -> dict[str, Any]:
    """Feature 1; the common classifier answers (2, 0), the client's own (1, 0): they are alike, s = 1."""
    return vectors(**{
        "logits": [0, 0], "features": [1], "classifier.weight": [[2], [0]], "own.weight": [[1], [0]],
        "near": [1], "far": [0],
    })  # fmt: skip


def test_fedthe_answers_halfway_without_steps() -> None:
    method: Any = method_files.make("fedthe", {"steps": 0})
    assert method.predict(heads(), torch.zeros(2, 1), ConstantNetwork()).tolist() == [[1.5, 0], [1.5, 0]]


def test_a_step_of_fedthe_by_hand() -> None:
    """The feature lies at 0 from the client's mean and at 1 from the common one: risk e, slope e (1 - e) = 1/4.

    At rate 4 the logit moves to -1, and 2 e + (1 - e) = 1 + e.
    """
    method: Any = method_files.make("fedthe", {"steps": 1, "rate": 4})
    (logits,) = method.predict(heads(), torch.zeros(1, 1), ConstantNetwork()).tolist()
    assert logits == pytest.approx([1 + 1 / (1 + math.e), 0], abs=1e-5)


def test_fedthe_trains_fedavg_s_model_to_the_bit() -> None:
    ours, plain = outcome_of("fedthe"), outcome_of("fedavg")
    common = plain.server["models"]["mlp"]
    assert all(torch.equal(ours.server["models"]["mlp"][name], leaf) for name, leaf in common.items())
    assert ours.result["bytes"]["up"] == VISITS * 4 * (NUMBERS + WIDTH)
    assert ours.result["bytes"]["down"] == VISITS * 4 * NUMBERS
    assert ours.result["networks"]["numbers"] == NUMBERS + (WIDTH + 1) * CLASSES + 2 * WIDTH


def test_a_client_that_never_trained_answers_by_fedavg_under_fedthe() -> None:
    """Both classifiers are the common one, so that no weight between them changes anything."""
    method: Any = method_files.make("fedthe")
    federation = small_federation(algorithm=method, track="personal")
    server = method.init_server(federation.hub, Key(0))
    model, x = federation.model("mlp"), federation.test.inputs()
    params = method.local_model(server, {}, federation.who(0))
    plain = model.frozen(server["models"]["mlp"], x).logits
    assert torch.allclose(method.predict(params, x, model), plain, atol=1e-6)


def test_a_step_at_the_server_by_hand() -> None:
    """The risk w^2 has slope 2 at w = 1: a rate of 1/4 moves w to 1/2."""
    params = {"w": torch.ones(1)}
    descend(params, lambda tree: tree["w"].square().sum(), Optim(lr=0.25), Optim().start())
    assert params["w"].item() == 0.5


def test_a_network_of_two_layers_by_hand() -> None:
    """x = 2: hidden (2, -2) is cut to (2, 0), and answered with 3 * 2 + 1 = 7."""
    net = vectors(one=[[1], [-1]], one_bias=[0, 0], two=[[3, 5]], two_bias=[1])
    assert answer(net, torch.tensor([[2.0]])).tolist() == [[7]]
    drawn = two_layers(2, 3, 4, Key(0).torch())
    assert drawn["one"].shape == (3, 2) and drawn["two"].shape == (4, 3)


def test_fedgkt_s_loss_by_hand() -> None:
    """Logits (0, 0) against (ln 3, 0) at tau = 1: ln 2 + 2 (3/4 ln 3/2 + 1/4 ln 1/2); nothing at the first visit."""
    method: Any = method_files.make("fedgkt", {"alpha": 2, "tau": 1})
    params, answers = vectors(logits=[0, 0]), torch.tensor([[math.log(3), 0.0]])
    for known in (0.0, 1.0):
        local = Local(params, {"answers": answers, "known": torch.tensor(known)})
        value, _ = method.loss(params, local, batch(0), ConstantNetwork())
        kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
        assert float(value) == pytest.approx(math.log(2) + known * 2 * kl, abs=1e-6)


def test_fedgkt_without_distillation_trains_clients_alone() -> None:
    ours, alone = outcome_of("fedgkt", alpha=0), outcome_of("local")
    for client, memory in alone.memories.items():
        assert all(torch.equal(ours.memories[client]["model"][n], leaf) for n, leaf in memory["model"].items())
    start = method_files.make("fedgkt").init_server(small_federation().hub, small_federation().key("server"))["net"]
    assert any(not torch.equal(start[name], leaf) for name, leaf in ours.server["net"].items())


def test_fedgkt_sends_a_row_per_image() -> None:
    """8 images: features, logits and a byte of label up; logits down from the second visit on."""
    outcome = outcome_of("fedgkt")
    assert outcome.result["bytes"]["up"] == VISITS * 8 * (4 * WIDTH + 4 * CLASSES + 1)
    again = VISITS - len(outcome.memories)
    assert outcome.result["bytes"]["down"] == again * 8 * 4 * CLASSES
    hidden = 256
    assert outcome.result["networks"]["numbers"] == NUMBERS + hidden * (WIDTH + 1) + CLASSES * (hidden + 1)


def test_fedet_s_risk_by_hand() -> None:
    """Logits (2, 0) and (0, 1) vary by 2 and 1/2: weights 4/5 and 1/5, and (1.6, 0.2) names class 0.

    Client 1 disputes it with softmax(0, 1) = (q, 1 - q); the student answers (0, 0): ln 2 + 3 (ln 2 - H(q)).
    """
    method: Any = method_files.make("fedet", {"lam": 3})
    answers = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]])
    q = 1 / (1 + math.e)
    entropy = -q * math.log(q) - (1 - q) * math.log(1 - q)
    expected = math.log(2) + 3 * (math.log(2) - entropy)
    assert float(method.risk(answers, torch.zeros(1, 2))) == pytest.approx(expected, abs=1e-5)
    assert float(method.risk(answers[:1], torch.zeros(1, 2))) == pytest.approx(math.log(2), abs=1e-6)


def test_fedet_federates_as_fedavg_and_is_judged_as_the_server_s_larger_network() -> None:
    method = method_files.make("fedet", {"server": "mlp_wide", "steps": 3})
    ours = run(method, small_federation(algorithm=method, public=12))
    plain = run(method_files.make("fedavg"), small_federation(public=12))
    model = ours.server["models"]["mlp"]
    assert all(torch.equal(model[f"client.{name}"], leaf) for name, leaf in plain.server["models"]["mlp"].items())
    assert ours.result["bytes"]["up"] == plain.result["bytes"]["up"] == VISITS * 4 * NUMBERS
    wide = 16 * 256 + 256 + 256 * CLASSES + CLASSES
    assert (ours.result["networks"]["numbers"], ours.result["networks"]["task_numbers"]) == (wide, NUMBERS)

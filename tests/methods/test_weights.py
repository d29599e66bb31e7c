"""Methods that exchange weights: the limits in which they are FedAvg or plain SGD, and what they send."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from benchmark.core import method_files
from benchmark.core import tree as trees
from benchmark.core.api import Batch
from benchmark.core.client.federation import Federation
from benchmark.core.storage import checkpoint
from benchmark.core.tasks.task import load
from benchmark.core.tree import Tree
from helpers.constant_network import PHASE
from helpers.small_federation import run, small_federation

METHODS = (
    "fedavg", "fedavgm", "fedcurv", "feddyn", "fedgkd", "fedlc", "fedlmd", "fednova", "fedntd", "fedprox", "moon",
    "scaffold",
)  # fmt: skip
MLP = (16 * 64 + 64) + (64 * 3 + 3)  # numbers in the network of small_federation


def common(name: str, federation: Federation, **settings: Any) -> Tree:
    """The common model after a run."""
    (models,) = run(method_files.make(name, settings), federation).server["models"].values()
    return models


def equal(a: Tree, b: Tree) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def gap(a: Tree, b: Tree) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("fedprox", {"mu": 0}), ("fedavgm", {"beta": 0}), ("moon", {"mu": 0}), ("fedntd", {"beta": 0}),
        ("fedlmd", {"beta": 0}), ("fedgkd", {"coefficient": 0}), ("fedlc", {"tau": 0}), ("fedcurv", {"lam": 0}),
    ],
)  # fmt: skip
def test_without_its_term_a_method_is_fedavg_to_the_bit(name: str, settings: dict[str, Any]) -> None:
    federation = small_federation(sizes=(8, 6, 9, 5), momentum=0.9)
    assert equal(common(name, federation, **settings), common("fedavg", federation))


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"fedavg", "fednova"}))
def test_a_term_is_not_lost(name: str) -> None:
    federation = small_federation(sizes=(8, 6, 9, 5))
    assert gap(common(name, federation), common("fedavg", federation)) > 1e-5


@pytest.mark.parametrize(
    ("name", "settings"),
    [("fedntd", {"beta": 2}), ("fedlmd", {"beta": 2}), ("fedgkd", {"coefficient": 2})],
)
def test_a_term_is_lower_after_training_with_it(name: str, settings: dict[str, Any]) -> None:
    """Each of these terms is a distance to the received model: 0 there, and positive once FedAvg has moved away."""
    federation = small_federation(sizes=(12,), cohort=1, rounds=1, epochs=10, batch=12, classes=4)
    method, plain, model = method_files.make(name, settings), method_files.make("fedavg"), federation.hub.models["mlp"]
    start = model.init(federation.key("server", "model", "mlp"))
    local = method.begin({}, {"model": start}, PHASE, federation.site(0, PHASE, 0))
    images = federation.private(0)
    batch = Batch(images.inputs(), images.labels, torch.arange(12))

    def term(params: Tree) -> float:
        return float(method.loss(params, local, batch, model)[0] - plain.loss(params, local, batch, model)[0])

    assert term(start) == pytest.approx(0, abs=1e-6)
    without = term(common("fedavg", federation))
    assert without > 1e-4
    assert 0 < term(common(name, federation, **settings)) < without


def test_fedprox_stays_nearer_to_the_received_model() -> None:
    """Its term is the squared distance to that model, whose gradient `step` adds."""
    federation = small_federation(sizes=(12,), cohort=1, rounds=1, epochs=10, batch=12, classes=4)
    start = run(method_files.make("fedavg"), small_federation(sizes=(12,), cohort=1, rounds=1, lr=1e-12, classes=4))
    centre = start.server["models"]["mlp"]
    near, far = (common(name, federation, **s) for name, s in (("fedprox", {"mu": 2}), ("fedavg", {})))
    assert 0 < float(trees.squared_distance(near, centre)) < float(trees.squared_distance(far, centre))


def test_fednova_with_equal_steps_is_fedavg_and_otherwise_is_not() -> None:
    even, uneven = small_federation(sizes=(8, 7, 6, 5), momentum=0.9), small_federation(sizes=(8, 4, 9, 16))
    assert gap(common("fednova", even), common("fedavg", even)) < 1e-6
    skipped = small_federation(sizes=(8, 9, 8, 9), networks=("mlp_bn",))  # the ninth image would be a batch of its own
    assert gap(common("fednova", skipped), common("fedavg", skipped)) < 1e-6
    assert gap(common("fednova", uneven), common("fedavg", uneven)) > 1e-3


def test_fednova_with_variance_reduction_is_scaffold_when_all_clients_weigh_the_same() -> None:
    federation = small_federation(momentum=0.9)
    reduced = common("fednova", federation, variance_reduction=True)
    assert gap(reduced, common("scaffold", federation)) < 1e-6
    assert gap(reduced, common("fednova", federation, variance_reduction=True, stale=True)) > 1e-3


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("fedavg", {}), ("fedavgm", {"beta": 0}), ("fednova", {}), ("fednova", {"variance_reduction": True}),
        ("scaffold", {}), ("fedcurv", {}), ("moon", {}), ("fedprox", {"mu": 0.5}), ("feddyn", {"alpha": 0.5}),
    ],
)  # fmt: skip
def test_one_client_is_a_loop_of_sgd(name: str, settings: dict[str, Any]) -> None:
    """Alone, c equals c_i, there are no others' Fisher terms, and the previous model is the received one."""
    federation = small_federation(sizes=(10,), cohort=1, momentum=0.9, order="stored")
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 3))
    start = federation.hub.models["mlp"].init(federation.key("server", "model", "mlp"))
    names = ("linear_1.weight", "linear_1.bias", "classifier.weight", "classifier.bias")
    with torch.no_grad():
        for weight, entry in zip(net.parameters(), names, strict=True):
            weight.copy_(start[entry])
    private = federation.private(0)
    x, y = private.inputs(), private.labels
    strength, dual = settings.get("mu", settings.get("alpha", 0.0)), [torch.zeros_like(w) for w in net.parameters()]
    for _ in range(3):
        received = [w.detach().clone() for w in net.parameters()]
        speed = [torch.zeros_like(w) for w in net.parameters()]
        for rows in torch.split(torch.arange(10), 4):
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            for w, at, h in zip(net.parameters(), received, dual, strict=True):
                loss = loss + strength / 2 * (w - at).square().sum() - (h * w).sum()
            gradients = torch.autograd.grad(loss, list(net.parameters()))
            with torch.no_grad():
                for w, v, g in zip(net.parameters(), speed, gradients, strict=True):
                    v.mul_(0.9).add_(g)
                    w.sub_(0.1 * v)
        if name == "feddyn":  # alone, the server's dual is the client's: w - h / alpha
            with torch.no_grad():
                for w, at, h in zip(net.parameters(), received, dual, strict=True):
                    h.sub_(strength * (w - at))
                    w.sub_(h / strength)
    model = common(name, federation, **settings)
    expected = dict(zip(names, (w.detach() for w in net.parameters()), strict=True))
    assert gap(expected, model) < 2e-6


@pytest.mark.parametrize(
    ("name", "settings", "down", "up"),
    [
        ("fedavg", {}, 1, 1), ("fedprox", {}, 1, 1), ("fedavgm", {}, 1, 1), ("feddyn", {}, 1, 1), ("fedlc", {}, 1, 1),
        ("fedlmd", {}, 1, 1), ("fedntd", {}, 1, 1), ("moon", {}, 1, 1), ("scaffold", {}, 2, 2), ("fednova", {}, 1, 1),
        ("fednova", {"variance_reduction": True}, 2, 2), ("fednova", {"variance_reduction": True, "stale": True}, 1, 1),
        ("fedcurv", {}, 3, 3), ("fedgkd", {}, 2, 1), ("fedgkd", {"buffer": 1}, 1, 1),
    ],
)  # fmt: skip
def test_messages_cost_what_the_papers_count(name: str, settings: dict[str, Any], down: int, up: int) -> None:
    sent = run(method_files.make(name, settings), small_federation()).communication
    visits, bytes_per_number = 3 * 2, 4
    assert sent.total("down") == visits * down * MLP * bytes_per_number
    assert sent.total("up") == visits * up * MLP * bytes_per_number


def test_moon_s_head_travels_with_the_model() -> None:
    sent = run(method_files.make("moon", {"head": True}), small_federation()).communication
    head = (64 * 64 + 64) + (64 * 256 + 256)
    assert sent.total("down") == sent.total("up") == 6 * 4 * (MLP + head)


@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_clients_does_not_matter(name: str) -> None:
    method, federation = method_files.make(name), small_federation(sizes=(8, 6, 9, 5), momentum=0.9)
    one, other = (run(method, federation, reverse=reverse).server for reverse in (False, True))
    assert equal(dict(trees.walk(one)), dict(trees.walk(other)))


@pytest.mark.parametrize("name", METHODS)
def test_the_server_s_memory_survives_a_checkpoint(name: str, tmp_path: Any) -> None:
    server = run(method_files.make(name), small_federation()).server
    checkpoint.save(tmp_path / "server", server, {})
    again, _ = checkpoint.load(tmp_path / "server")
    assert again is not None
    assert equal(dict(trees.walk(server)), dict(trees.walk(again)))


@pytest.mark.parametrize(
    ("name", "settings"), [("fedavgm", {}), ("scaffold", {}), ("fednova", {}), ("feddyn", {"alpha": 0})]
)
def test_running_statistics_are_only_averaged(name: str, settings: dict[str, Any]) -> None:
    """In the first round these train as FedAvg does, so their BatchNorms must have seen what FedAvg's have."""
    federation = small_federation(networks=("resnet8",), rounds=1, shape=(1, 8, 8))
    methods = method_files.make(name, settings), method_files.make("fedavg")
    one, other = (run(method, federation).server["models"]["resnet8"] for method in methods)
    buffers = federation.model("resnet8").buffers
    assert equal({n: one[n] for n in buffers}, {n: other[n] for n in buffers})
    assert one.keys() == other.keys()


@pytest.mark.parametrize("name", ["fedgkd", "fedlmd", "fedntd", "moon"])
def test_an_earlier_model_s_answers_leave_running_statistics_alone(name: str) -> None:
    """In a round of one step all see what FedAvg sees; a teacher in training mode would move them once more."""
    federation = small_federation(networks=("resnet8",), rounds=1, batch=8, shape=(1, 8, 8))
    one, other = (run(method_files.make(method), federation).server["models"]["resnet8"] for method in (name, "fedavg"))
    buffers = federation.model("resnet8").buffers
    assert equal({n: one[n] for n in buffers}, {n: other[n] for n in buffers})


def test_methods_for_one_architecture_are_refused_on_several() -> None:
    mixed = load("digits-mixed").model_copy(update={"track": "global"})
    refused = {name for name in METHODS if method_files.why_not_applicable(name, mixed)}
    assert refused == {"scaffold", "fednova", "feddyn", "fedcurv"}


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"scaffold", "fednova", "feddyn", "fedcurv"}))
def test_the_others_work_within_groups_of_equal_architecture(name: str) -> None:
    """Clients 0 and 2 have one network, 1 and 3 another: without 1 and 3 theirs stays as it was."""
    federation = small_federation(networks=("mlp", "mlp_wide"), cohort=1, rounds=1)
    server, before = run(method_files.make(name), federation).server["models"], federation.cohort(0)[0] % 2
    arch = ("mlp", "mlp_wide")[1 - before]
    assert equal(server[arch], federation.model(arch).init(federation.key("server", "model", arch)))


def test_fedcurv_s_fisher_is_the_mean_of_squared_batch_gradients() -> None:
    federation = small_federation(sizes=(10,), cohort=1, rounds=1, order="stored")
    outcome = run(method_files.make("fedcurv"), federation)
    weights = {name: leaf.requires_grad_() for name, leaf in outcome.server["models"]["mlp"].items()}
    model, private, squares = federation.model("mlp"), federation.private(0), trees.zeros(weights)
    for rows in torch.split(torch.arange(10), 4):
        logits = model(weights, private.inputs(rows)).logits
        assert logits is not None
        risk = nn.functional.cross_entropy(logits, private.labels[rows])
        gradients = torch.autograd.grad(risk, list(weights.values()))
        squares = {n: squares[n] + g.square() / 3 for n, g in zip(weights, gradients, strict=True)}
    assert gap(squares, outcome.server["fisher"]) < 1e-7
    assert gap(squares, outcome.memories[0]["fisher"]) < 1e-7


def test_fedlmd_without_majority_is_fedntd() -> None:
    """Labels 0, 1, 2 in turn: clients of 6 and 9 samples have no majority, unlike those of 8."""
    federation, skewed = small_federation(sizes=(6, 6, 9, 9)), small_federation()
    assert gap(common("fedlmd", federation), common("fedntd", federation)) < 1e-6
    assert gap(common("fedlmd", skewed), common("fedntd", skewed)) > 1e-4

"""Controls: what they leave undone, to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from algorithms.fedmd import FedMD
from algorithms.local import LocalOnly
from algorithms.public_only import PublicOnly
from algorithms.public_server import PublicServer
from algorithms.untrained import Untrained
from benchmark.core.api import Algorithm, Phase, Tree
from benchmark.core.client.local_training import run_client
from benchmark.core.keys import Key
from benchmark.core.tasks.task import ProbeSpec
from helpers.small_federation import run, small_federation

TRANSFER, COLLABORATE = Phase("transfer", 1, everyone=True), Phase("collaborate", 3)
SHORT: dict[str, Any] = {
    "draw": 6, "public_epochs": 2, "public_batch": 6, "private_epochs": 3, "private_batch": 4, "digest_batch": 3
}  # fmt: skip


def statistics(steps: int, sizes: tuple[int, ...] = (8,)) -> tuple[Tree, Tree]:
    """Weights at the end beside those at the start, and statistics, of clients whose one batch is all their images."""
    federation = small_federation(sizes=sizes, cohort=1, batch=8, networks=("mlp_bn",), protocol=2)
    outcome = run(Untrained(steps=steps), federation)
    model, end = federation.model("mlp_bn"), outcome.server["models"]["mlp_bn"]
    start = model.init(federation.key("server")("model", "mlp_bn"))
    for name, leaf in model.weights(start).items():
        assert torch.equal(end[name], leaf)
    (phase,) = outcome.result["budget"]
    assert (phase["rounds"], phase["visits"], phase["steps"]) == (1, len(sizes), 0)
    assert phase["images"] == {"private": steps * sum(sizes)}
    return {n: end[n] for n in model.buffers if n.endswith("running_mean")}, start


def test_untrained_weights_stay_and_statistics_are_those_of_the_images() -> None:
    # Each of n steps sees the same 8 images, whose mean m the statistic approaches by a tenth: m (1 - 0.9^n).
    (short, _), (long, _) = statistics(2), statistics(20)
    for name, mean in short.items():
        assert mean.abs().max() > 0
        torch.testing.assert_close(long[name] / (1 - 0.9**20), mean / (1 - 0.9**2), rtol=1e-4, atol=1e-6)


def test_statistics_of_several_clients_are_their_mean() -> None:
    together, _ = statistics(3, (8, 8))
    federation = small_federation(sizes=(8, 8), cohort=1, batch=8, networks=("mlp_bn",), protocol=2)
    model, first = federation.model("mlp_bn"), Phase("calibrate", 1, everyone=True)
    start = model.init(federation.key("server")("model", "mlp_bn"))
    ends = [
        run_client(
            Untrained(steps=3), federation.site(client, first, 0), first, {"model": start}, {}, Key(0), "fp32"
        ).params
        for client in range(2)
    ]
    for name, mean in together.items():
        torch.testing.assert_close(mean, (ends[0][name] + ends[1][name]) / 2)


def test_untrained_without_batchnorm_is_the_initial_network() -> None:
    result = run(Untrained(), small_federation(protocol=2)).result
    assert result["budget"][0]["images"] == {} and [entry["round"] for entry in result["evaluations"]] == [1]


def test_untrained_is_judged_without_labels_too() -> None:
    probe = ProbeSpec(epochs=1, labelled=())
    options: dict[str, Any] = {"track": "unsupervised", "probe": probe, "networks": ("mlp_bn",), "protocol": 2}
    result = run(Untrained(steps=3), small_federation(**options)).result
    assert result["budget"][0]["steps"] == 0 and result["evaluations"][0]["nll"] > 0


def visited(algorithm: Algorithm, phase: Phase, message: Tree | None, memory: Tree) -> Any:
    site = small_federation(public=12, algorithm=algorithm).site(1, phase, 0)
    memory = memory or algorithm.init_client(site, Key(0)("birth"))
    return run_client(algorithm, site, phase, message, memory, Key(0)("visit"), "fp32")


def test_public_only_is_fedmd_s_transfer_and_then_local_training() -> None:
    ours = visited(PublicOnly(**SHORT), TRANSFER, None, {})
    theirs = visited(FedMD(**SHORT), TRANSFER, {"draw": torch.tensor(1)}, {})
    assert ours.upload is None and theirs.upload is not None
    assert all(torch.equal(leaf, theirs.params[name]) for name, leaf in ours.params.items())
    later, alone = (visited(method, COLLABORATE, None, ours.memory) for method in (PublicOnly(**SHORT), LocalOnly()))
    assert all(torch.equal(leaf, alone.params[name]) for name, leaf in later.params.items())
    assert not all(torch.equal(leaf, ours.params[name]) for name, leaf in later.params.items())


def test_public_only_sends_nothing_and_is_fed_what_fedmd_is_fed_but_for_the_exchange() -> None:
    result = run(PublicOnly(**SHORT), small_federation(public=12, protocol=2)).result
    assert (result["bytes"]["up"], result["bytes"]["down"]) == (0, 0)
    transfer, rounds = result["budget"]
    assert (transfer["images"], rounds["images"]) == ({"public": 4 * 24, "private": 4 * 24}, {"private": 6 * 8})


def test_public_server_takes_a_step_on_public_labels_as_plain_sgd_does() -> None:
    # One round, one epoch, one batch of all 12 images: w - 0.1 dCE(w)/dw.
    federation = small_federation(public=12, rounds=1, batch=12, lr=0.1, protocol=2)
    outcome = run(PublicServer(draw=12), federation)
    model, public = federation.model("mlp"), federation.public
    assert public is not None
    start = model.init(federation.key("server")("model", "mlp"))
    leaves = {name: leaf.clone().requires_grad_() for name, leaf in start.items()}
    loss = torch.nn.functional.cross_entropy(model(leaves, public.inputs()).logits, public.labels)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    for (name, leaf), gradient in zip(start.items(), gradients, strict=True):
        torch.testing.assert_close(outcome.server["models"]["mlp"][name], leaf - 0.1 * gradient)
    (phase,) = outcome.result["budget"]
    assert (phase["steps"], phase["images"], phase["server"]) == (0, {}, {"public": 12})
    assert outcome.result["bytes"]["up"] == outcome.result["bytes"]["down"] == outcome.result["bytes"]["delivery"] == 0


@pytest.mark.parametrize("classes", [3, 5])
def test_public_server_learns_from_its_images_alone(classes: int) -> None:
    # Whatever the clients hold, the server ends at the same weights.
    ends = []
    for sizes in ((8, 8), (3, 9)):
        federation = small_federation(sizes=sizes, public=10, rounds=2, classes=classes, cohort=1)
        ends.append(run(PublicServer(draw=5), federation).server["models"]["mlp"])
    assert all(torch.equal(leaf, ends[1][name]) for name, leaf in ends[0].items())

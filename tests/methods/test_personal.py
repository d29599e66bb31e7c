"""Personalisation: how it is judged, what the clients do on their own, and the two rules of aggregation beneath it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any

import pytest
import torch
from torch.nn import functional

from algorithms._personal import Personalised
from algorithms.adapt_kd import AdaptKD
from algorithms.central import Central
from algorithms.ewc import EWC, information, moved
from algorithms.fedavg import FedAvg
from algorithms.feddp import FedDP, projected
from algorithms.fedmd import FedMD
from algorithms.fedmedian import FedMedian, median
from algorithms.finetune import FineTune
from algorithms.freeze_base import FreezeBase
from algorithms.scratch import Scratch
from benchmark.core.api import Algorithm, Batch, Hub, Key, Local, Pass, Phase, Site, Tree, Who
from benchmark.core.client.federation import Federation
from benchmark.core.tree import walk
from benchmark.records import record
from helpers.small_federation import Outcome, run, small_federation

ADAPTING: list[Personalised] = [kind(epochs=1, batch=4, lr=0.05) for kind in (FineTune, FreezeBase, EWC, AdaptKD)]


def personal(**changes: Any) -> Federation:
    return small_federation(track="personal", public=40, **changes)


def same(a: Tree, b: Tree) -> bool:
    return all(torch.equal(x, dict(walk(b))[path]) for path, x in walk(a))


def constant(model: Tree, answer: int) -> Tree:
    """The same network, giving one answer to every image."""
    weight, bias = torch.zeros_like(model["classifier.weight"]), torch.zeros_like(model["classifier.bias"])
    bias[answer] = 1.0
    return {**model, "classifier.weight": weight, "classifier.bias": bias}


@dataclass(frozen=True)
class Own(Algorithm):
    """Everyone answers 0; after the last phase, client i answers i."""

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        return Phase("train", rounds), Phase("adapt", 1, everyone=True)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return ()

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {"models": {arch: constant(model.init(key), 0) for arch, model in hub.models.items()}}

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return ({"model": constant(local.params, site.who.id)}, None) if phase.name == "adapt" else (client, None)

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        return client.get("model", server["models"][who.arch])


def test_clients_are_judged_on_their_own_labels() -> None:
    # Client 0 holds labels 0, 1, 2, 0 and client 1 holds 1, 2. A model that always answers c has A_c = 1 and 0 for all
    # other classes, so client i scores p_i(c). All answer 0: 2/4 and 0, mean 1/4. Then client 0 answers 0, client 1
    # answers 1: 2/4 and 1/2; the mean of A_c over both is (1/2, 1/2, 0); one of two gains, 1/4 on average.
    result = run(Own(), personal(sizes=(4, 2), rounds=3, evaluate_every=2)).result
    before, after = result["evaluations"][-2:]
    assert (before["clients"], before["accuracy"], before["per_class"]) == ([0.5, 0.0], 0.25, [1.0, 0.0, 0.0])
    assert (after["clients"], after["accuracy"], after["per_class"]) == ([0.5, 0.5], 0.5, [0.5, 0.5, 0.0])
    assert result["personal"] == {"gain": 0.25, "share_gaining": 0.5}
    assert [entry["round"] for entry in result["evaluations"]] == [2, 3, 4]  # round 3 ends the phase


def test_a_pooled_model_is_judged_on_every_client_s_labels() -> None:
    federation = personal(sizes=(4, 2), algorithm=Central())
    outcome = run(Central(), federation)
    hits = torch.tensor(outcome.result["evaluations"][-1]["per_class"])  # clients hold (2, 1, 1) / 4 and (0, 1, 1) / 2
    expected = [float(hits @ torch.tensor(p)) for p in ([0.5, 0.25, 0.25], [0.0, 0.5, 0.5])]
    assert outcome.result["evaluations"][-1]["clients"] == pytest.approx(expected, abs=2e-6)


def test_clients_of_two_architectures_are_judged_by_the_pooled_model_of_their_own() -> None:
    # Clients 0 and 2 have the first network, whose pooled model is the one of a federation that has no other.
    def judged(*networks: str) -> list[float]:
        federation = personal(sizes=(4, 2, 3), networks=networks, algorithm=Central())
        clients: list[float] = run(Central(), federation).result["evaluations"][-1]["clients"]
        return clients

    one, two = judged("mlp"), judged("mlp", "mlp_wide")
    assert len(two) == 3 and two[::2] == one[::2] and two[1] != one[1]


def test_without_adaptation_there_is_no_gain_to_report() -> None:
    result = run(FedAvg(), personal(rounds=3, evaluate_every=2)).result
    assert "personal" not in result and [entry["round"] for entry in result["evaluations"]] == [2, 3]
    assert "personal" not in run(Scratch(epochs=1), personal()).result


def test_a_phase_that_precedes_training_is_not_judged() -> None:
    method = FedMD(public_epochs=1, private_epochs=1)  # round 1 is transfer learning
    result = run(method, personal(rounds=3, evaluate_every=2)).result
    assert "personal" not in result and [entry["round"] for entry in result["evaluations"]] == [2, 4]


@pytest.mark.parametrize("track", ["global", "personal"])
def test_only_records_of_the_personal_track_have_its_fields(track: str) -> None:
    method = FedAvg() if track == "global" else FineTune(epochs=1)
    result = record.Result.model_validate(run(method, small_federation(track=track)).result)
    written = result.model_dump(mode="json")
    assert ("personal" in written) == ("clients" in written["evaluations"][0]) == (track == "personal")
    assert record.Result.model_validate(written) == result


def test_median_of_odd_and_even_counts() -> None:
    # Columns sorted: (1, 2, 9) and (-5, 0, 4); with a fourth row (3, 2): (1, 2, 3, 9) and (-5, 0, 2, 4).
    rows = [torch.tensor(row) for row in ([1.0, 4.0], [9.0, -5.0], [2.0, 0.0], [3.0, 2.0])]
    assert median(*rows[:3]).tolist() == [2.0, 0.0]
    assert median(*rows).tolist() == [2.5, 1.0]


def test_median_ignores_one_wild_client() -> None:
    leaves = [torch.full((2,), value) for value in (1.0, 2.0, 1e30)]
    assert median(*leaves).tolist() == [2.0, 2.0]


def test_clipping_projects_onto_the_ball() -> None:
    # w - G = (3, 4) over two tensors has length 5; the ball of radius 1 around G is met at G + (3, 4) / 5.
    centre = {"a": torch.tensor([1.0]), "b": torch.tensor([1.0]), "unused": torch.zeros(1)}
    params = {"a": torch.tensor([4.0]), "b": torch.tensor([5.0])}
    clipped = projected(params, centre, 1.0)
    assert [round(float(leaf), 6) for leaf in clipped.values()] == [1.6, 1.8]
    assert same(projected(params, centre, 5.0), params)


def first_move(method: Algorithm) -> torch.Tensor:
    """What one round with a single client adds to the initial model."""
    federation = personal(sizes=(8,), cohort=1, rounds=1, lr=0.5)
    start = method.init_server(federation.hub, federation.key("server"))["models"]["mlp"]
    end = run(method, federation).server["models"]["mlp"]
    return torch.cat([(end[name] - start[name]).flatten() for name in start])


def test_updates_are_clipped_and_noised() -> None:
    free = first_move(FedAvg())
    assert free.norm() > 0.1
    assert first_move(FedDP(clip=0.01, sigma=0.0)).norm() == pytest.approx(0.01, rel=1e-3)
    noise = first_move(FedDP(clip=1e-6, sigma=0.3))
    # the standard deviation of P draws is itself known to about sigma / sqrt(2 P)
    assert noise.std() == pytest.approx(0.3, abs=5 * 0.3 / (2 * len(noise)) ** 0.5)


def test_a_wide_ball_without_noise_is_fedavg() -> None:
    federation = personal()  # clients of equal size
    assert same(run(FedDP(clip=1e9, sigma=0.0), federation).server, run(FedAvg(), federation).server)


@pytest.mark.parametrize(
    ("server", "method"), [("mean", FedAvg()), ("dp", FedDP(clip=0.1, sigma=0.02)), ("median", FedMedian())]
)
def test_first_stage_is_the_method_of_that_name(server: Any, method: Algorithm) -> None:
    federation = personal(cohort=3)
    ours = run(FineTune(epochs=1, server=server, clip=0.1, sigma=0.02), federation)
    assert same(ours.server, run(method, federation).server)


def test_the_mean_of_unequal_clients_is_plain() -> None:
    federation = personal(sizes=(4, 8), cohort=2, rounds=1)
    plain = run(FineTune(epochs=1), federation).server["models"]["mlp"]
    weighted = run(FedAvg(), federation).server["models"]["mlp"]
    first = run(FedAvg(), personal(sizes=(4,), cohort=1, rounds=1)).server["models"]["mlp"]
    # plain = (a + b) / 2 and weighted = (4 a + 8 b) / 12, hence a = 4 plain - 3 weighted: what client 0 sent
    for name, leaf in first.items():
        assert torch.allclose(4 * plain[name] - 3 * weighted[name], leaf, atol=1e-5)


@pytest.mark.parametrize("method", ADAPTING, ids=lambda method: type(method).__name__)
def test_adaptation_at_rate_zero_leaves_the_common_model(method: Personalised) -> None:
    outcome = run(replace(method, lr=0.0), personal())
    assert all(same(memory["model"], outcome.server["models"]["mlp"]) for memory in outcome.memories.values())
    assert len(outcome.memories) == 4 and outcome.result["personal"] == {"gain": 0.0, "share_gaining": 0.0}


def test_fine_tuning_is_sgd_from_the_common_model() -> None:
    federation = personal(order="stored")
    outcome = run(FineTune(epochs=2, batch=4, lr=0.05, momentum=0.9, weight_decay=0.01), federation)
    data, net = federation.private(1), federation.model("mlp").module.train()
    net.load_state_dict(outcome.server["models"]["mlp"])
    net.requires_grad_(True)
    sgd = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    for rows in 2 * [torch.arange(0, 4), torch.arange(4, 8)]:
        sgd.zero_grad()
        torch.autograd.backward(functional.cross_entropy(net(data.inputs(rows)).logits, data.labels[rows]))
        sgd.step()
    for name, leaf in outcome.memories[1]["model"].items():
        assert torch.allclose(leaf, net.state_dict()[name], atol=1e-6)


def test_a_frozen_base_stays_to_the_bit() -> None:
    outcome = run(FreezeBase(epochs=2, lr=0.1), personal())
    common = outcome.server["models"]["mlp"]
    for memory in outcome.memories.values():
        moving = {name for name, leaf in memory["model"].items() if not torch.equal(leaf, common[name])}
        assert moving == {"classifier.weight", "classifier.bias"}


def answering(model: Tree, logits: Sequence[float]) -> Tree:
    """The same network with these logits for every image."""
    return {**constant(model, 0), "classifier.bias": torch.tensor(logits)}


@pytest.mark.parametrize(("reduction", "divisor"), [("batchmean", 1), ("mean", 2)])
def test_distillation_by_hand(reduction: Any, divisor: int) -> None:
    # T = 2, teacher (0, 0), student (2 ln 3, 0): softened (3/4, 1/4), so KL = (ln 2/3 + ln 2) / 2 = ln(4/3) / 2.
    # Unsoftened the student gives class 0 the probability 9/10. "mean" divides the KL by the two classes.
    net = small_federation(classes=2).model("mlp")
    params = net.init(Key(0))
    batch = Batch(torch.zeros(3, 1, 4, 4), torch.zeros(3, dtype=torch.int64), torch.arange(3))
    local = Local(params, context={"global": answering(params, [0.0, 0.0])})
    method = AdaptKD(alpha=0.75, tau=2.0, reduction=reduction)
    loss, _ = method.loss(answering(params, [2 * log(3), 0.0]), local, batch, net)
    assert float(loss) == pytest.approx(0.75 * 4 * log(4 / 3) / 2 / divisor + 0.25 * -log(0.9), rel=1e-5)


def test_penalty_by_hand() -> None:
    # F = (2, 1/2), w - G = (1, 2): 2 * 1 + 1/2 * 4 = 4; entries without information cost nothing.
    params = {"w": torch.tensor([2.0, 5.0]), "free": torch.tensor([9.0])}
    centre = {"w": torch.tensor([1.0, 3.0]), "free": torch.tensor([0.0])}
    assert float(moved(params, centre, {"w": torch.tensor([2.0, 0.5])})) == 4.0


def test_ewc_adds_half_of_lambda_times_the_penalty() -> None:
    # Fisher 3 on the classifier's bias alone, which moved by (1, 0): 10 / 2 * 3 * 1 = 15 on top of the cross-entropy.
    net = small_federation(classes=2).model("mlp")
    params = net.init(Key(0))
    centre = {**params, "classifier.bias": params["classifier.bias"] - torch.tensor([1.0, 0.0])}
    batch = Batch(torch.ones(2, 1, 4, 4), torch.tensor([0, 1]), torch.arange(2))
    local = Local(params, context={"global": centre, "fisher": {"classifier.bias": torch.full((2,), 3.0)}})
    loss, _ = EWC(penalty=10.0).loss(params, local, batch, net)
    plain, _ = FedAvg().loss(params, local, batch, net)
    assert float(loss) == pytest.approx(15 + float(plain))


def test_fisher_of_the_classifier_by_hand() -> None:
    # The gradient of CE in the logits is d = p - onehot(y), in the classifier's weight d h^T with features h, in its
    # bias d. "sample" averages squares over the 40 images; "batch" sees them as 32 and 8: sum_b B_b (mean_b d)^2 / 40.
    federation = personal()
    net, data = federation.model("mlp"), federation.public
    assert data is not None
    params = net.init(Key(1))
    logits, features = net.frozen(params, data.inputs())[:2]
    assert logits is not None
    d = logits.softmax(1) - functional.one_hot(data.labels, 3)
    by_sample = information(net, params, data, "sample")
    assert set(by_sample) == set(net.weights(params))
    assert torch.allclose(by_sample["classifier.bias"], d.square().mean(0), atol=1e-6)
    squares = (d.unsqueeze(2) * features.unsqueeze(1)).square().mean(0)
    assert torch.allclose(by_sample["classifier.weight"], squares, atol=1e-6)
    expected = (32 * d[:32].mean(0).square() + 8 * d[32:].mean(0).square()) / 40
    assert torch.allclose(information(net, params, data, "batch")["classifier.bias"], expected, atol=1e-6)


def test_a_stiff_penalty_holds_the_model() -> None:
    def distance(penalty: float) -> float:
        outcome = run(EWC(epochs=50, lr=0.01, weight_decay=0.0, penalty=penalty), personal())
        common, own = outcome.server["models"]["mlp"], outcome.memories[0]["model"]
        return float(moved(own, common, outcome.server["fisher"]["mlp"]))

    assert distance(1000.0) < 0.5 * distance(0.0)


def sent(outcome: Outcome) -> dict[tuple[str, str, str], int]:
    return dict(outcome.communication.payload)


@pytest.mark.parametrize("method", ADAPTING, ids=lambda method: type(method).__name__)
def test_adaptation_costs_one_download(method: Personalised) -> None:
    # P floats of 4 bytes each way, 2 clients, 3 rounds; then 4 clients receive G once, with EWC also P of Fisher.
    outcome = run(method, personal())
    size = 4 * sum(leaf.numel() for leaf in outcome.server["models"]["mlp"].values())
    expected = {("train", way, "model"): 6 * size for way in ("up", "down")} | {("adapt", "down", "model"): 4 * size}
    if isinstance(method, EWC):
        expected["adapt", "down", "fisher"] = 4 * size
    assert sent(outcome) == expected


def test_from_scratch_nothing_moves() -> None:
    outcome = run(Scratch(epochs=1), personal())
    assert sent(outcome) == {} and len(outcome.memories) == 4

"""Methods without labels: hand-derived losses, the limits in which FedX is its base, and what they send."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.core import method_files, ops
from benchmark.core.api import Batch, Local, Phase
from benchmark.core.client.federation import Federation
from benchmark.core.keys import Key
from benchmark.core.model_output import Output
from benchmark.core.tasks.task import AugmentSpec, ProbeSpec, load
from benchmark.core.tree import Tree
from helpers.small_federation import run, small_federation

BASES = ("fedsimclr", "fedmoco", "fedbyol", "fedprotocl", "fedu")
METHODS = (*BASES, *(f"{name}_x" for name in BASES))
ROUNDS = 2
SETTINGS = {"fedprotocl": {"prototypes": 3}, "fedprotocl_x": {"prototypes": 3}}
BODY = 16 * 64 + 64  # mlp on the images of small_federation, without its classifier
PROJECTION = (64 * 256 + 256) + (256 * 256 + 256)
PREDICTION = 2 * (256 * 256 + 256)
E1, E2 = torch.eye(2)


def make(name: str, **settings: Any) -> Any:
    return method_files.make(name, {**SETTINGS.get(name, {}), **settings})


def unlabelled(algorithm: Any, **task: Any) -> Federation:
    federation = small_federation(
        sizes=(12, 8, 9, 10), batch=8, rounds=ROUNDS, evaluate_every=ROUNDS, algorithm=algorithm, track="unsupervised",
        probe=ProbeSpec(epochs=1, labelled=()), augment=AugmentSpec(flip=True), **task,
    )  # fmt: skip
    federation.data.private.images[:] *= 255  # augmentation takes stored images for bytes
    return federation


@lru_cache
def common(name: str, **settings: Any) -> Tree:
    """The common model after all rounds."""
    algorithm = make(name, **settings)
    models: Tree = run(algorithm, unlabelled(algorithm)).server["models"]["mlp"]
    return models


def batch_of(rows: Tensor) -> Batch:
    return Batch(rows, rows, rows)


def test_nt_xent_of_two_equal_and_orthogonal_images() -> None:
    # every vector sees its partner at cosine 1 and two others at 0: -log(e / (e + 2)) at tau = 1
    a = torch.eye(2)
    assert float(ops.nt_xent(a, a, 1.0)) == pytest.approx(math.log(1 + 2 / math.e), abs=1e-6)


def test_info_nce_against_two_orthogonal_negatives() -> None:
    # cosine 1 with the key, 0 with both negatives, whatever the lengths: -log(e^2 / (e^2 + 2)) at tau = 1/2
    value = ops.info_nce(3 * E1[None], E1[None], torch.stack([5 * E2, -E2]), 0.5)
    assert float(value) == pytest.approx(math.log(1 + 2 / math.e**2), abs=1e-6)


def test_relations_of_equal_views_cost_nothing_and_of_mirrored_ones_what_one_derives() -> None:
    # cosines with the two anchors differ by ln 3, so r = (3/4, 1/4), the mirrored view (1/4, 3/4), M = (1/2, 1/2)
    # published: KL(M || r) = 1/2 ln(2/3) + 1/2 ln 2 = 1/2 ln(4/3); textbook: KL(r || M) = 3/4 ln(3/2) + 1/4 ln(1/2)
    angle = math.acos(math.log(3) / math.sqrt(2)) - math.pi / 4  # cos - sin = sqrt(2) cos(angle + 45 degrees) = ln 3
    u = torch.tensor([[math.cos(angle), math.sin(angle)]])
    v, anchors = u.flip(1), torch.eye(2)
    assert float(ops.relational(u, u, anchors, 0.1, 0.1)) == pytest.approx(0, abs=1e-6)
    assert float(ops.relational(u, v, anchors, 1, 1)) == pytest.approx(math.log(4 / 3) / 2, abs=1e-6)
    textbook = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(ops.relational(u, v, anchors, 1, 1, textbook=True)) == pytest.approx(textbook, abs=1e-6)


def test_k_means_finds_two_pairs_and_an_empty_cluster_stays() -> None:
    # centres start at rows 0 and 2 of 4; pairs (0, 1) and (10, 12) have means 0.5 and 11
    centres, nearest = ops.k_means(torch.tensor([[0.0], [10], [12], [1]]), 2)
    assert centres.flatten().tolist() == [0.5, 11]
    assert nearest.tolist() == [0, 1, 1, 0]
    # rows 0 and 1 of 2 are equal: all go to the first, the second has no samples and stays
    centres, nearest = ops.k_means(torch.tensor([[2.0], [2]]), 2)
    assert (centres.flatten().tolist(), nearest.tolist()) == ([2, 2], [0, 0])


def test_byol_costs_nothing_between_equal_directions_and_four_between_opposite_ones() -> None:
    byol, local, batch = make("fedbyol"), Local({}), batch_of(torch.arange(1))
    for target, expected in ((2 * E1, 0), (E2, 2), (-E1, 4)):  # 2 - 2 cos
        assert float(byol.agree(E1[None], target[None], local, batch)) == pytest.approx(expected, abs=1e-6)


def test_the_queue_forgets_its_oldest_keys_and_the_slow_copy_follows() -> None:
    moco = make("fedmoco", momentum=0.9)
    carry: Tree = {"slow": {"w": torch.ones(1)}, "queue": torch.tensor([[1.0], [2], [3]])}
    extras = {"keys": torch.tensor([[4.0], [5]])}
    local = moco.after_step(Local({"w": torch.tensor([3.0])}, carry=carry), extras, batch_of(torch.arange(2)))
    assert local.carry["queue"].flatten().tolist() == [3, 4, 5]
    assert float(local.carry["slow"]["w"]) == pytest.approx(0.9 * 1 + 0.1 * 3)
    assert float(carry["slow"]["w"]) == 1


def test_the_queue_starts_with_the_received_models_keys_of_own_images() -> None:
    moco = make("fedmoco", queue=4)
    federation = unlabelled(moco)
    site = federation.site(0, Phase("train", 1), 0)
    params = site.model.init(Key(0))
    local = moco.begin({}, {"model": params}, Phase("train", 1), site)
    own = site.model.frozen(params, site.data.inputs(torch.tensor([0, 3, 6, 9]))).projection  # 4 of 12, evenly spaced
    assert torch.allclose(local.carry["queue"], torch.nn.functional.normalize(own, dim=-1), atol=1e-6)
    longer = make("fedmoco", queue=99).begin({}, {"model": params}, Phase("train", 1), site)
    assert len(longer.carry["queue"]) == 12  # there are no more keys than images
    params["projection.0.bias"].add_(1)  # what trains in place does not move the slow copy
    assert not torch.equal(local.carry["slow"]["projection.0.bias"], params["projection.0.bias"])


def test_concentration_of_prototypes() -> None:
    # clusters of 2 and 4 samples, each 1 away from its centre: phi = 2 / (2 ln 12), 4 / (4 ln 14), scaled to mean tau
    # the 10 and 90 % quantiles of two numbers a < b cut to a + 0.1 (b - a) and b - 0.1 (b - a); the mean stays
    vectors = torch.tensor([[1.0], [-1], [6], [4], [6], [4]])
    centres, nearest = torch.tensor([[0.0], [5]]), torch.tensor([0, 0, 1, 1, 1, 1])
    phi = make("fedprotocl", tau=0.2).concentration(vectors, centres, nearest)
    low, high = 1 / math.log(14), 1 / math.log(12)
    gap, middle = high - low, (high + low) / 2
    expected = [0.2 * (high - 0.1 * gap) / middle, 0.2 * (low + 0.1 * gap) / middle]
    assert phi.tolist() == pytest.approx(expected, abs=1e-6)


def test_proto_nce_is_cross_entropy_over_prototypes() -> None:
    # with the only negative opposite, InfoNCE at tau = 1 is log(1 + e^-2); prototypes at 0 and 90 degrees with
    # phi = 1/2 give the logits (2, 0) for a sample of the first
    context = {"centres": torch.eye(2), "nearest": torch.tensor([1, 0]), "phi": torch.tensor([0.5, 0.5])}
    local = Local({}, context, {"queue": -E1[None]})
    value = make("fedprotocl", tau=1).agree(E1[None], E1[None], local, batch_of(torch.tensor([1])))
    assert float(value) == pytest.approx(math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-2)), abs=1e-6)


@pytest.mark.parametrize(("mu", "kept"), [(12.01, False), (12.0, True)])
def test_fedu_keeps_its_predictor_once_the_encoder_has_drifted(mu: float, kept: bool) -> None:
    # three numbers of the encoder differ by 2 each: squared distance 12, and only a smaller one counts as near
    fedu = make("fedu", mu=mu)
    site = unlabelled(fedu).site(0, Phase("train", 1), 0)
    received = {"backbone.w": torch.zeros(3), "prediction.w": torch.zeros(1)}
    own = {"backbone.w": torch.full((3,), 2.0), "prediction.w": torch.ones(1)}
    started = fedu.updated(own, received, site)
    assert started["prediction.w"].tolist() == [1.0 if kept else 0.0]
    assert started["backbone.w"].tolist() == [0, 0, 0]


def test_fedu_is_fedbyol_while_all_are_near_and_otherwise_is_not() -> None:
    byol = common("fedbyol")
    assert all(torch.equal(leaf, byol[name]) for name, leaf in common("fedu", mu=1e9).items())
    assert any(not torch.equal(leaf, byol[name]) for name, leaf in common("fedu", mu=0).items())


@pytest.mark.parametrize("name", BASES)
def test_fedx_without_its_terms_is_its_base_to_the_bit(name: str) -> None:
    plain, taught = common(name), common(f"{name}_x", relational=False, distil=False, head=False)
    assert plain.keys() == taught.keys()
    assert all(torch.equal(leaf, taught[key]) for key, leaf in plain.items())


@pytest.mark.parametrize("ablation", ["relational", "distil", "head"])
@pytest.mark.parametrize("name", BASES)
def test_each_term_of_fedx_moves_the_model(name: str, ablation: str) -> None:
    full, less = common(f"{name}_x"), common(f"{name}_x", **{ablation: False})
    shared = full.keys() & less.keys()
    assert max(float((full[key] - less[key]).abs().max()) for key in shared) > 1e-6


@pytest.mark.parametrize("name", METHODS)
def test_a_client_sends_and_gets_encoder_and_heads(name: str) -> None:
    algorithm = make(name)
    outcome = run(algorithm, unlabelled(algorithm))
    predicts = name.endswith("_x") or name in ("fedbyol", "fedu")
    size = BODY + PROJECTION + (PREDICTION if predicts else 0)
    visits = ROUNDS * 2  # rounds, clients per round
    assert outcome.communication.payload == {("train", way, "model"): 4 * size * visits for way in ("up", "down")}


def test_on_resnet18_fedx_sends_what_the_paper_counts() -> None:
    algorithm = make("fedsimclr_x")
    federation = unlabelled(algorithm, networks=("resnet18",), shape=(3, 8, 8))
    params = algorithm.init_server(federation.hub, Key(0))["models"]["resnet18"]
    sent = federation.model("resnet18").weights(params)
    assert sum(leaf.numel() for leaf in sent.values()) == 11_497_536


@pytest.mark.parametrize("name", METHODS)
def test_labels_make_no_difference(name: str) -> None:
    algorithm = make(name)
    one, other = unlabelled(algorithm), unlabelled(algorithm)
    other.data.private.labels[:] = (other.data.private.labels + 1) % 3
    models = [run(algorithm, federation).server["models"]["mlp"] for federation in (one, other)]
    assert all(torch.equal(leaf, models[1][key]) for key, leaf in models[0].items())


def test_a_method_without_labels_asks_for_its_track() -> None:
    assert "unsupervised" in (method_files.why_not_applicable("fedsimclr_x", load("digits-shards")) or "")
    assert "unsupervised" in (method_files.why_not_applicable("fedavg", load("digits-unsup")) or "")
    assert all(method_files.why_not_applicable(name, load("digits-unsup")) is None for name in METHODS)


@pytest.mark.parametrize(("name", "rows"), [("fedsimclr", 4), ("fedsimclr_x", 7)])
def test_all_that_a_network_learns_from_in_a_step_is_one_batch_to_it(name: str, rows: int) -> None:
    # two views of two images, and for FedX three independent images: BatchNorm's statistics are over all of them
    seen: list[int] = []

    class Mirror:
        def __call__(self, params: Tree, x: Tensor) -> Output:
            seen.append(len(x))
            return self.frozen(params, x)

        def frozen(self, params: Tree, x: Tensor) -> Output:
            return Output(None, x, x, x)

    views = torch.randn(3, 3, 2, generator=torch.Generator().manual_seed(0))
    batch = Batch(views[0, :2], torch.zeros(2), torch.arange(2), other=views[1, :2], random=views[2])
    make(name).loss({}, Local({}, {"global": {}}), batch, Mirror())
    assert seen == [rows]


def test_both_directions_of_momentum_contrast_count() -> None:
    # a network that answers its input: the queries E1 and E2 meet the slow keys E2 and E1 at cosine 0; in the queue
    # (E1, -E1) the query E1 sees cosines 1 and -1, E2 sees 0 and 0; tau = 1
    class Mirror:
        def train(self, params: Tree, x: Tensor) -> tuple[Output, Tree]:
            return Output(None, x, x), {}

    local = Local({}, carry={"slow": {}, "queue": torch.stack([E1, -E1])})
    batch = Batch(E1[None], E1[None], torch.arange(1), other=E2[None])
    first, second = Output(None, E1, E1[None]), Output(None, E2, E2[None])
    value, extras = make("fedmoco", tau=1).contrast(first, second, local, batch, Mirror())
    expected = (math.log(1 + math.e + 1 / math.e) + math.log(3)) / 2
    assert float(value) == pytest.approx(expected, abs=1e-6)
    assert torch.equal(extras["keys"], E2[None])


def test_slow_copies_see_both_views_as_one_batch() -> None:
    # as the network does: BatchNorm's statistics are over both
    seen: list[int] = []

    class Mirror:
        def train(self, params: Tree, x: Tensor) -> tuple[Output, Tree]:
            seen.append(len(x))
            return Output(None, x, x), {}

    local = Local({}, carry={"slow": {}, "queue": torch.eye(2)})
    views = Output(None, torch.eye(2), torch.eye(2))
    make("fedmoco").contrast(views, views, local, Batch(torch.eye(2), E1, E2, other=torch.eye(2)), Mirror())
    assert seen == [4]


def test_the_textbook_divergence_is_the_one_asked_for() -> None:
    # r = (3/4, 1/4) and (1/4, 3/4), M even, as above: KL(M || r) as published, KL(r || M) in textbooks
    class Mirror:
        def __call__(self, params: Tree, x: Tensor) -> Output:
            return Output(None, x, x, x)

    angle = math.acos(math.log(3) / math.sqrt(2)) - math.pi / 4
    u = torch.tensor([[math.cos(angle), math.sin(angle)]])
    batch = Batch(u, torch.zeros(1), torch.arange(1), other=u.flip(1), random=torch.eye(2))
    settings = {"tau": 1, "target_local": 1, "distil": False, "head": False}

    def term(**changes: Any) -> float:
        full, less = (make("fedsimclr_x", **settings, **changes, relational=on) for on in (True, False))
        return float(full.loss({}, Local({}), batch, Mirror())[0] - less.loss({}, Local({}), batch, Mirror())[0])

    assert term() == pytest.approx(math.log(4 / 3) / 2, abs=1e-6)
    assert term(textbook=True) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), abs=1e-6)


def test_a_prototype_of_one_sample_is_as_wide_as_the_widest() -> None:
    # its sample lies on it, which would make it infinitely narrow: both get tau
    vectors, centres = torch.tensor([[1.0], [-1], [5]]), torch.tensor([[0.0], [5]])
    phi = make("fedprotocl", tau=0.2).concentration(vectors, centres, torch.tensor([0, 0, 1]))
    assert phi.tolist() == pytest.approx([0.2, 0.2])


def test_proto_nce_looks_at_directions_alone() -> None:
    settings, batch, values = {"queue": -E1[None]}, batch_of(torch.tensor([0])), []
    for length, centres in ((1, torch.eye(2)), (3, torch.diag(torch.tensor([2.0, 5])))):
        context = {"centres": centres, "nearest": torch.tensor([1]), "phi": torch.tensor([0.5, 0.5])}
        local = Local({}, context, settings)
        values.append(float(make("fedprotocl", tau=1).agree(length * E1[None], E1[None], local, batch)))
    assert values[1] == pytest.approx(values[0], abs=1e-6)


def test_fedu_remembers_its_own_model_of_the_last_round() -> None:
    trained, received = {"w": torch.ones(1)}, {"model": {"w": torch.zeros(1)}}
    memory, upload = make("fedu").finish({}, Local(trained), received, Phase("train", 1), None)
    assert memory["model"]["w"].tolist() == upload["model"]["w"].tolist() == [1]

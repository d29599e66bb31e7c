"""The judges of representations, held against PyTorch and against angles that one can see."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmark.core import method_files
from benchmark.core.client import linear_probe
from benchmark.core.data.batches import Stream
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.models.functional import Model
from benchmark.core.tasks.task import ProbeSpec
from benchmark.core.tree import Tree
from helpers.small_federation import run, small_federation

KEY = Key(0)("probe")
SPEC = ProbeSpec(epochs=2, batch=4, lr=0.05)


def clusters(count: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes in turn, far apart in five dimensions."""
    y = torch.arange(count) % 3
    noise = torch.randn(count, 5, generator=torch.Generator().manual_seed(0))
    return 5 * torch.eye(5)[y] + 0.1 * noise, y


def test_the_probe_is_pytorchs_linear_layer_under_its_adam() -> None:
    x, y = clusters(10)
    layer = nn.Linear(5, 3)
    layer.load_state_dict(linear_probe.linear(5, 3, KEY("init"), torch.device("cpu")))
    adam = torch.optim.Adam(layer.parameters(), lr=0.05, weight_decay=1e-6)
    for epoch in range(2):
        for rows in torch.from_numpy(KEY("epoch", epoch).permutation(10)).split(4):
            adam.zero_grad()
            nn.functional.cross_entropy(layer(x[rows]), y[rows]).backward()
            adam.step()
    ours = linear_probe.fit(x, y, 3, KEY, SPEC)
    assert torch.allclose(ours["weight"], layer.weight, atol=1e-6)
    assert torch.allclose(ours["bias"], layer.bias, atol=1e-6)


def test_the_probe_reads_clusters_off_and_depends_on_its_key_alone() -> None:
    x, y = clusters()
    spec = ProbeSpec(epochs=20, batch=8, lr=0.05)
    once, again, other = (linear_probe.fit(x, y, 3, key, spec) for key in (KEY, KEY, Key(1)))
    assert torch.equal(linear_probe.logits(once, x).argmax(1), y)
    assert torch.equal(once["weight"], again["weight"])
    assert not torch.equal(once["weight"], other["weight"])


def test_correct_counts_by_class() -> None:
    # the identity answers class 0, 1, 1 to these rows
    layer = {"weight": torch.eye(2), "bias": torch.zeros(2)}
    x = torch.tensor([[1.0, 0], [0, 1], [0, 1]])
    assert linear_probe.logits(layer, x).argmax(1).tolist() == [0, 1, 1]


def test_angles_within_and_between_classes() -> None:
    # class 0 lies at 0 and 20 degrees, class 1 at 90, lengths do not matter: 20 within; 90 and 70 between
    degrees = torch.deg2rad(torch.tensor([0.0, 20.0, 90.0]))
    x = torch.stack([degrees.cos(), degrees.sin()], dim=1) * torch.tensor([[1.0], [3.0], [2.0]])
    within, between = linear_probe.angles(x, torch.tensor([0, 0, 1]))
    assert within == pytest.approx(20, abs=1e-3)
    assert between == pytest.approx(80, abs=1e-3)


def test_fine_tuning_takes_its_share_of_every_class_and_leaves_the_model_as_it_was() -> None:
    federation = small_federation(sizes=(30, 30), cohort=2, track="unsupervised", probe=SPEC)
    model = federation.model("mlp")
    params = model.init(Key(0))
    before = {name: leaf.clone() for name, leaf in params.items()}
    arguments = (model, params, federation.all_client_data, federation.test)
    spec = ProbeSpec(epochs=30, batch=8)
    half = linear_probe.fine_tuned(*arguments, 0.5, KEY, spec)
    assert half == linear_probe.fine_tuned(*arguments, 0.5, KEY, spec)
    assert all(torch.equal(params[name], before[name]) for name in params)
    # what was learned is known by heart: of the training images themselves at least that half is right
    known = linear_probe.fine_tuned(
        model, params, federation.all_client_data, federation.all_client_data, 0.5, KEY, spec
    )
    assert known >= 0.5
    with pytest.raises(BenchmarkError, match="leaves none"):  # 20 samples of a class: 1 % of them is none
        linear_probe.fine_tuned(*arguments, 0.01, KEY, spec)


def test_fine_tuning_is_judged_by_the_network_that_it_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = small_federation(sizes=(30,), cohort=1, track="unsupervised", probe=SPEC, networks=("resnet8",))
    model, read, judged = federation.model("resnet8"), linear_probe.features, list[Tree]()

    def reading(net: Model, params: Tree, stream: Stream) -> torch.Tensor:
        judged.append(params)
        return read(net, params, stream)

    monkeypatch.setattr(linear_probe, "features", reading)
    start = model.init(Key(0))
    linear_probe.fine_tuned(model, start, federation.all_client_data, federation.test, 0.5, KEY, SPEC)
    moved = {name for name, leaf in judged[0].items() if not torch.equal(leaf, start[name])}
    assert moved >= model.buffers and any("conv" in name for name in moved)


def test_a_run_is_judged_by_the_probe_and_its_result_describes_the_representation() -> None:
    algorithm = method_files.make("fedsimclr")
    federation = small_federation(
        track="unsupervised", probe=ProbeSpec(epochs=3, batch=8, labelled=(0.5,)), batch=8, algorithm=algorithm
    )
    outcome = run(algorithm, federation)
    model, params = federation.model("mlp"), outcome.server["models"]["mlp"]
    union, test = federation.all_client_data, federation.test
    spec = federation.task.probe
    assert spec is not None
    layer = linear_probe.fit(
        linear_probe.features(model, params, union), union.labels, 3, federation.key("probe"), spec
    )
    right = linear_probe.logits(layer, linear_probe.features(model, params, test)).argmax(1) == test.labels
    assert outcome.result["accuracy"] == round(int(right.sum()) / test.size, 6)
    assert outcome.result["in_local"] is None
    representation = outcome.result["representation"]
    within, between = linear_probe.angles(linear_probe.features(model, params, test), test.labels)
    assert (representation["angle_within"], representation["angle_between"]) == (round(within, 4), round(between, 4))
    key = federation.key("fine-tuning")("share", "0.5")
    tuned = linear_probe.fine_tuned(model, params, union, test, 0.5, key, spec)  # learns from clients' images alone
    assert representation["fine_tuned"] == [[0.5, round(tuned, 6)]]

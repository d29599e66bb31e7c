"""Methods that choose: FedALA what to take of a received model, Selective-FD which answers to share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from algorithms._consensus import Consensus
from algorithms.dsfl import DSFL
from benchmark.core import method_files
from benchmark.core.api import Local
from benchmark.core.keys import Key
from helpers.constant_network import PHASE, batch, uploads
from helpers.small_federation import run, small_federation

VISITS, CLASSES = 2 * 3, 3  # two clients in each of three rounds


def test_a_step_of_fedala_by_hand() -> None:
    """Old 0, new 2, slope 1: W moves by 1/4 * 1 * 2 from 1 to 1/2, the mixture to 1; a slope of 9 ends at W = 0."""
    method: Any = method_files.make("fedala", {"eta": 0.25})
    context = {"old": {"classifier.w": torch.tensor([0.0])}, "new": {"classifier.w": torch.tensor([2.0])}}
    local = Local({"classifier.w": torch.tensor([2.0])}, context, {"classifier.w": torch.tensor([1.0])})
    for slope, mixture in ((1.0, 1.0), (9.0, 0.0)):
        moved, _ = method.align(local, batch(0), lambda *_, s=slope: ({"classifier.w": torch.tensor([s])}, {}), None)
        assert moved.params["classifier.w"].item() == mixture and moved.carry["classifier.w"].item() == mixture / 2


def test_fedala_that_does_not_learn_is_fedavg() -> None:
    """All images in one batch, whose order rounds differently: the mixing pass has the first order of the round."""
    options: dict[str, Any] = {"track": "personal", "batch": 8, "epochs": 2}
    ours = run(method_files.make("fedala", {"eta": 0}), small_federation(**options))
    plain = run(method_files.make("fedavg"), small_federation(**options))
    for name, leaf in plain.server["models"]["mlp"].items():
        assert torch.allclose(ours.server["models"]["mlp"][name], leaf, atol=1e-5)
    assert ours.result["bytes"]["up"] == plain.result["bytes"]["up"]
    assert ours.result["bytes"]["down"] == plain.result["bytes"]["down"]


def test_fedala_learns_its_mixture_of_the_head_alone() -> None:
    outcome = run(method_files.make("fedala"), small_federation(track="personal", rounds=6))
    weights = [memory["weights"] for memory in outcome.memories.values()]
    assert all(tree.keys() == {"classifier.weight", "classifier.bias"} for tree in weights)
    everything = torch.cat([leaf.flatten() for tree in weights for leaf in tree.values()])
    assert everything.min() >= 0 and everything.max() <= 1 and everything.min() < 1


@dataclass(frozen=True)
class Unsharpened(DSFL):
    """DS-FL that agrees on plain means."""

    agree = Consensus.agree


def test_selective_fd_without_selectors_is_ds_fl_without_sharpening() -> None:
    federation = small_federation(public=12)
    ours = run(method_files.make("selective_fd", {"draw": 10, "quantile": 0, "doubt": 1}), federation)
    plain = run(Unsharpened(draw=10), federation)
    for name, leaf in plain.server["models"]["mlp"].items():
        assert torch.allclose(ours.server["models"]["mlp"][name], leaf, atol=1e-5)
    rows = 10 * (4 + 4 * CLASSES)  # a row's number and its answers
    assert ours.result["bytes"]["up"] == VISITS * rows
    assert ours.result["bytes"]["down"] == VISITS * 8 + (VISITS - 2) * rows  # nothing is agreed on in the first round


def test_selective_fd_averages_over_those_who_answer_and_drops_doubtful_means() -> None:
    """Image 0: (1, 0) and (4/5, 1/5) of two clients; image 1: (1/2, 1/2), which says nothing; image 2: no answer."""
    method: Any = method_files.make("selective_fd", {"doubt": 0.9})
    federation = small_federation(classes=2, public=12)
    server = {**method.init_server(federation.hub, Key(0)), "consensus": torch.zeros(3, 2), "models": {}}
    one = {"rows": torch.tensor([0, 1]).int(), "answers": torch.tensor([[1.0, 0.0], [0.5, 0.5]])}
    two = {"rows": torch.tensor([0]).int(), "answers": torch.tensor([[0.8, 0.2]])}
    after = method.aggregate(server, uploads((5, one), (5, two)), PHASE, federation.hub, Key(0))
    assert after["consensus"].flatten().tolist() == pytest.approx([0.9, 0.1, 0, 0, 0, 0])


def test_selective_fd_s_ratio_is_larger_where_the_client_s_images_are() -> None:
    """A client's images lie around 1 in a range from -2 to 2: the ratio at 1 is above that at -1."""
    method: Any = method_files.make("selective_fd")
    draw = Key(0).torch()
    own = torch.cat([1 + 0.1 * torch.randn(20, 4, generator=draw), torch.full((1, 4), -2.0), torch.full((1, 4), 2.0)])
    inside, outside = method.ratios(own, torch.tensor([[1.0] * 4, [-1.0] * 4]), Key(1)).tolist()
    assert inside > outside


def test_selective_fd_shares_fewer_answers_than_it_has() -> None:
    federation = small_federation(public=12)
    outcome = run(method_files.make("selective_fd", {"draw": 10, "quantile": 0.9}), federation)
    assert outcome.result["bytes"]["up"] < VISITS * 10 * (4 + 4 * CLASSES)

"""Adaptive optimisers on the server: numbers by hand, and the limit in which they are FedAvg."""

from __future__ import annotations

import math

import pytest

from benchmark.core import method_files
from benchmark.core.api import Tree
from helpers.constant_network import PHASE, hub, number, uploads
from helpers.small_federation import run, small_federation

SETTINGS = {"eta": 1, "beta1": 0.5, "beta2": 0.75, "tau": 1}


@pytest.mark.parametrize(("name", "v"), [("fedadam", 1.75), ("fedyogi", 2.0)])
def test_a_step_by_hand(name: str, v: float) -> None:
    """From 10 to a mean of 8: d = -2 and m = -1.

    Adam: v = 3/4 * 1 + 1/4 * 4 = 1.75; Yogi: v = 1 - 1/4 * 4 * sign(1 - 4) = 2. Then w = 10 - 1 / (sqrt(v) + 1).
    """
    method = method_files.make(name, SETTINGS)
    server: Tree = {"models": {"mlp": number(10)}, "first": {"mlp": number(0)}, "second": {"mlp": number(1)}}
    sent = uploads((1, {"model": number(5)}), (3, {"model": number(9)}))
    server = method.aggregate(server, sent, PHASE, hub((1, 3)), small_federation().key)
    assert server["first"]["mlp"]["w"].item() == pytest.approx(-1)
    assert server["second"]["mlp"]["w"].item() == pytest.approx(v)
    assert server["models"]["mlp"]["w"].item() == pytest.approx(10 - 1 / (math.sqrt(v) + 1))


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
def test_with_a_frozen_second_moment_and_twice_its_root_as_rate_it_is_fedavg(name: str) -> None:
    """beta_1 = 0 and beta_2 = 1 leave m = d and v = tau^2, so that w + 2 tau d / (tau + tau) = w + d."""
    federation = small_federation(sizes=(8, 6, 9, 5))
    settings = {"beta1": 0, "beta2": 1, "tau": 0.5, "eta": 1}
    models = [
        run(method_files.make(*which), federation).server["models"]["mlp"]
        for which in ((name, settings), ("fedavg", {}))
    ]
    for leaf, plain in zip(models[0].values(), models[1].values(), strict=True):
        assert (leaf - plain).abs().max() < 1e-5

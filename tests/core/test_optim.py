"""Optimisers against torch.optim, and what they change in place."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.func import vmap

from benchmark.core import tree as trees
from benchmark.core.keys import Key
from benchmark.core.optim import Optim
from benchmark.core.tree import Tree

SETTINGS = [
    {"name": "sgd"},
    {"name": "sgd", "momentum": 0.9},
    {"name": "sgd", "weight_decay": 0.01},
    {"name": "sgd", "momentum": 0.5, "weight_decay": 0.1},
    {"name": "adam"},
    {"name": "adam", "weight_decay": 0.01, "betas": (0.8, 0.95), "eps": 1e-6},
]


def start() -> Tree:
    generator = Key(0)("optim").torch()
    return {"w": torch.randn(4, 3, generator=generator), "b": torch.randn(3, generator=generator)}


def gradient(params: Tree, step: int) -> Tree:
    """Of sum(x^4) / 4 plus noise that depends on the step."""
    generator = Key(step)("noise").torch()
    return {name: leaf.detach() ** 3 + torch.randn(leaf.shape, generator=generator) for name, leaf in params.items()}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_ten_steps_are_those_of_torch(settings: dict[str, Any]) -> None:
    ours, optim, rates = start(), Optim(**settings), [0.1 * 0.9**step for step in range(10)]
    theirs = {name: torch.nn.Parameter(leaf.clone()) for name, leaf in ours.items()}
    options = {name: value for name, value in settings.items() if name != "name"}
    kind = torch.optim.SGD if settings["name"] == "sgd" else torch.optim.Adam
    reference, moments = kind(theirs.values(), lr=0.1, **options), optim.start()
    for step, lr in enumerate(rates):
        moments = optim.apply(ours, gradient(ours, step), moments, lr)
        reference.param_groups[0]["lr"] = lr
        for name, grad in gradient(theirs, step).items():
            theirs[name].grad = grad
        reference.step()
    assert moments.steps == 10
    for name, leaf in ours.items():
        assert (leaf - theirs[name].detach()).abs().max() < 1e-7


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_gradient_may_lie_otherwise_in_memory(settings: dict[str, Any]) -> None:
    generator, optim = Key(1)("optim").torch(), Optim(**settings)
    value, *grads = (torch.randn(4, 3, 5, 5, generator=generator) for _ in range(4))
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        params, moments = {"w": value.contiguous(memory_format=torch.channels_last)}, optim.start()
        for grad in grads:
            moments = optim.apply(params, {"w": grad.contiguous(memory_format=layout)}, moments, 0.1)
        results.append(params["w"])
    assert torch.equal(*results) and not torch.equal(results[0], value)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_pure_function_moves_two_stacked_clients_as_apply_moves_each(settings: dict[str, Any]) -> None:
    optim, clients = Optim(**settings), [start(), trees.scale(start(), 2.0)]
    stacked, zeros = trees.stack(clients), trees.zeros(trees.stack(clients))
    first = zeros if optim.name == "adam" or optim.momentum else {}
    second, moments = zeros if optim.name == "adam" else {}, [optim.start(), optim.start()]
    for step in range(10):
        gradients = trees.stack([gradient(client, step) for client in clients])
        moments = [optim.apply(clients[i], trees.unstack(gradients, 2)[i], moments[i], 0.1) for i in range(2)]
        pure = partial(optim.apply_pure, step=torch.tensor(step + 1), lr=torch.tensor(0.1))
        stacked, first, second = vmap(pure)(stacked, gradients, first, second)
    for name, leaf in trees.stack(clients).items():
        torch.testing.assert_close(stacked[name], leaf, rtol=1e-5, atol=1e-6)


def test_momentum_by_hand() -> None:
    params, optim = {"w": torch.tensor([1.0])}, Optim(momentum=0.5, weight_decay=0.1)
    # v1 = 2 + 0.1 * 1 = 2.1; w = 1 - 0.1 * 2.1 = 0.79. v2 = 0.5 * 2.1 + 1 + 0.1 * 0.79 = 2.129; w = 0.5771
    moments = optim.apply(params, {"w": torch.tensor([2.0])}, optim.start(), 0.1)
    optim.apply(params, {"w": torch.tensor([1.0])}, moments, 0.1)
    assert params["w"].item() == pytest.approx(0.5771, abs=1e-7)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_parameters_move_in_place_and_gradients_stay(settings: dict[str, Any]) -> None:
    params, optim = start(), Optim(**settings)
    held, given = dict(params), gradient(params, 0)
    kept = {name: leaf.clone() for name, leaf in given.items()}
    moments = optim.start()
    for _ in range(3):
        moments = optim.apply(params, given, moments, 0.1)
    assert all(params[name] is held[name] for name in params)
    assert all(torch.equal(given[name], kept[name]) for name in given)
    assert not torch.equal(params["w"], start()["w"])


def test_only_what_is_given_trains_and_gradients_may_lie_in_another_order() -> None:
    params, optim = start(), Optim(momentum=0.9)
    gradients = dict(reversed(gradient(params, 0).items()))
    optim.apply({"b": params["b"]}, gradients, optim.start(), 1.0)
    assert torch.equal(params["w"], start()["w"])
    assert torch.equal(params["b"], start()["b"] - gradients["b"])


def test_a_rate_decays_once_per_round() -> None:
    assert [Optim(lr=0.8, decay=0.5).rate(round_) for round_ in range(3)] == [0.8, 0.4, 0.2]
    assert Optim(lr=0.8).rate(1000) == 0.8


def test_a_cosine_falls_to_zero_over_its_rounds() -> None:
    # (1 + cos(t pi / 4)) / 2 for t = 0, 1, 2, 3 is 1, (1 + sqrt(1/2)) / 2, 1/2, (1 - sqrt(1/2)) / 2; the next is 0.
    optim = Optim(lr=0.4, schedule="cosine", rounds=4)
    rates = [0.4, 0.4 * 0.853553391, 0.2, 0.4 * 0.146446609]
    assert [optim.rate(round_) for round_ in range(4)] == pytest.approx(rates, rel=1e-8)
    assert optim.rate(4) == optim.rate(3)  # a longer phase keeps the last rate: one of zero would train nothing


def test_starts_share_no_state() -> None:
    optim = Optim(momentum=0.9)
    first = optim.apply(start(), gradient(start(), 0), optim.start(), 0.1)
    assert optim.start().first == [] and len(first.first) == 2

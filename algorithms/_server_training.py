"""Steps of training at the server, on flat trees of weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from benchmark.core import tree as trees
from benchmark.core.api import Key, Optim, Tensor, Tree
from benchmark.core.optim import Moments


def descend(params: Tree, risk: Callable[..., Tensor], optim: Optim, moments: Moments, *data: Tensor) -> Moments:
    """One step down a risk, in place.

    Args:
        params: The weights, which move.
        risk: Computes a scalar from weights and data.
        optim: The optimiser, whose rate is taken.
        moments: What the step before returned, or `optim.start()`.
        *data: Further arguments of the risk.

    Returns:
        The moments for the next step.
    """
    leaves = {name: leaf.detach().requires_grad_() for name, leaf in params.items()}
    slopes = dict(zip(leaves, torch.autograd.grad(risk(leaves, *data), list(leaves.values())), strict=True))
    return optim.apply(params, slopes, moments, optim.lr)


def fitted(
    start: Tree, data: Sequence[Tensor], risk: Callable[..., Tensor], optim: Optim, epochs: int, batch: int, key: Key
) -> Tree:
    """Weights after epochs of batches of rows, shuffled anew each epoch; risk: of weights and a batch of the data."""
    params, moments = trees.copy(start), optim.start()
    for epoch in range(epochs):
        for rows in torch.from_numpy(key("epoch", epoch).permutation(len(data[0]))).split(batch):
            moments = descend(params, risk, optim, moments, *(part[rows] for part in data))
    return params


def two_layers(before: int, hidden: int, after: int, draw: torch.Generator) -> Tree:
    """Initial weights of a network of two linear layers, by He's rule, with biases of zero."""
    sizes = {"one": (hidden, before), "two": (after, hidden)}
    layers = {name: torch.randn(*size, generator=draw) * (2 / size[1]) ** 0.5 for name, size in sizes.items()}
    return layers | {f"{name}_bias": torch.zeros(size[0]) for name, size in sizes.items()}


def answer(net: Tree, x: Tensor) -> Tensor:
    """What a network of `two_layers` with ReLUs between them says of x (n, before), (n, after)."""
    hidden = F.linear(x, net["one"], net["one_bias"]).relu()
    return F.linear(hidden, net["two"], net["two_bias"])

"""Networks without convolutions, enough for 8x8 digits."""

from __future__ import annotations

from functools import partial
from math import prod

from torch import nn

from benchmark.core.models.base import Body, Builder, Net, Shape


def _mlp(shape: Shape, classes: int, *, hidden: int) -> Net:
    """All pixels into one hidden layer of ReLUs."""
    return Net({"flatten": nn.Flatten(), "linear_1": nn.Linear(prod(shape), hidden), "relu": nn.ReLU()}, shape, classes)


def mlp_bn(shape: Shape, classes: int) -> Net:
    """Two hidden layers with BatchNorm, the second narrow, for unsupervised learning.

    With a wide layer, random features leave nothing to learn; without BatchNorm, methods that have no negatives end
    below random features.
    """
    body: Body = {"flatten": nn.Flatten()}
    before = prod(shape)
    for number, hidden in enumerate((128, 32), start=1):
        body[f"linear_{number}"] = nn.Linear(before, hidden)
        body[f"norm_{number}"] = nn.BatchNorm1d(hidden)
        body[f"relu_{number}"] = nn.ReLU()
        before = hidden
    return Net(body, shape, classes)


NETS: dict[str, Builder] = {
    "mlp": partial(_mlp, hidden=64),
    "mlp_wide": partial(_mlp, hidden=256),
    "mlp_bn": mlp_bn,
}

"""Networks without convolutions, enough for 8x8 digits."""

from __future__ import annotations

from functools import partial
from math import prod

from torch import nn

from benchmark.core.nets.net import Builder, Net, Shape


def _mlp(shape: Shape, classes: int, *, hidden: int) -> Net:
    """All pixels into one hidden layer of ReLUs."""
    return Net({"flatten": nn.Flatten(), "linear_1": nn.Linear(prod(shape), hidden), "relu": nn.ReLU()}, shape, classes)


NETS: dict[str, Builder] = {"mlp": partial(_mlp, hidden=64), "mlp_wide": partial(_mlp, hidden=256)}

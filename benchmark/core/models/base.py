"""The base of all networks: a body of named layers, then one linear classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmark.core.model_output import Output

Shape = tuple[int, int, int]
Body = dict[str, nn.Module]
M = TypeVar("M", bound=nn.Module)


class Net(nn.Module):
    """Layers under their own names, in order, and the linear layer `classifier` on top of them.

    Args:
        body: Layers by name; the last one answers features (n, width).
        shape: (channels, height, width) of an image.
        classes: Number of classes.
        bias: Whether the classifier has a bias.

    Raises:
        RuntimeError: If the layers cannot take such an image.
    """

    def __init__(self, body: Body, shape: Shape, classes: int, *, bias: bool = True) -> None:
        super().__init__()
        for name, layer in body.items():
            self.add_module(name, layer)
        self.classifier: nn.Module = nn.Linear(width(body, shape), classes, bias=bias)

    def embed(self, x: Tensor) -> Tensor:
        """Features (n, width) of images (n, channels, height, width)."""
        for name, layer in self._modules.items():
            if name != "classifier":
                assert layer is not None
                x = layer(x)
        return x

    def forward(self, x: Tensor) -> Output:
        features = self.embed(x)
        return Output(self.classifier(features), features)


Builder = Callable[[Shape, int], Net]


def width(body: Mapping[str, nn.Module], shape: Shape) -> int:
    """Number of features that the layers compute of an image, found by passing one through."""
    layers = nn.Sequential(*body.values()).eval()
    with torch.no_grad():
        length = layers(torch.zeros(1, *shape)).shape[1]
    layers.train()
    return int(length)


def plain_batchnorm(module: M) -> M:
    """Give a module's BatchNorms the momentum 0.1, and running mean and variance as their only buffers.

    The step counter is an integer, of which no average is meaningful, and a fixed momentum does not use it. Torch's
    `load_state_dict` still expects it: pass strict=False with plain dicts.
    """
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.momentum = 0.1
            layer.num_batches_tracked = None
    return module

"""FAug's conditional GAN (arXiv 1811.11479): generator and discriminator of four linear layers each."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn

from benchmark.core.models.base import Shape, plain_batchnorm

NOISE = 100


class Generator(nn.Module):
    """Images (n, channels, height, width) in [-1, 1] from noise (n, 100) and labels (n,).

    The layers have 1,493,520 numbers for 28x28, with running statistics, as the paper counts. The table `label`, one
    vector per class that scales the noise, has 100 x classes more; the paper does not count it, but a receiver cannot
    generate a class without it.
    """

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.shape = shape
        self.label = nn.Embedding(classes, NOISE)
        layers: list[nn.Module] = []
        for before, after in ((NOISE, 256), (256, 512), (512, 1024)):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.2), nn.BatchNorm1d(after)]
        self.layers = plain_batchnorm(nn.Sequential(*layers, nn.Linear(1024, prod(shape)), nn.Tanh()))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        pixels: Tensor = self.layers(z * self.label(y))
        return pixels.reshape(-1, *self.shape)


class Discriminator(nn.Module):
    """Logits (n,) that images in [-1, 1] with labels (n,) are real; the paper gives the number of layers alone."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        pixels = prod(shape)
        self.label = nn.Embedding(classes, NOISE)
        layers: list[nn.Module] = []
        for before in (pixels + NOISE, 512, 512):
            layers += [nn.Linear(before, 512), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(512, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        logits: Tensor = self.layers(torch.cat([x.flatten(1), self.label(y)], 1))
        return logits.squeeze(1)


PARTS: dict[str, Callable[[Shape, int], nn.Module]] = {"faug_generator": Generator, "faug_discriminator": Discriminator}

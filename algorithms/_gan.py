"""A conditional GAN that the server trains, as FAug has it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.core.api import Algorithm, Hub, Key, Net, Optim, Tree, hyper


@dataclass(frozen=True)
class Gan(Algorithm):
    """A mixin for methods whose server trains a generator: non-saturating losses, Adam on both sides.

    The networks are `faug_generator` and `faug_discriminator`.
    """

    gan_steps: int = hyper(2000, low=1)
    gan_batch: int = hyper(64, low=2)
    gan_lr: float = hyper(2e-4, low=0)

    def learn(self, images: Tensor, labels: Tensor, hub: Hub, key: Key) -> Tree:
        """A generator trained on images (n, c, h, w) in [-1, 1], labels drawn evenly; untrained without any image."""
        generator, critic = hub.network("faug_generator"), hub.network("faug_discriminator")
        g, d = generator.init(key("generator")), critic.init(key("discriminator"))
        adam, draw = Optim("adam", lr=self.gan_lr, betas=(0.5, 0.999)), key("draws").torch()
        g_moments, d_moments = adam.start(), adam.start()
        evenly = 1 / torch.bincount(labels)[labels].float()
        for _ in range(self.gan_steps if len(labels) else 0):
            rows = torch.multinomial(evenly, self.gan_batch, replacement=True, generator=draw)
            y, z = labels[rows], torch.randn(self.gan_batch, g["label.weight"].shape[1], generator=draw)
            g_leaves, d_leaves = leaves(generator, g), leaves(critic, d)
            fake, moved = generator.train({**g, **g_leaves}, (z, y))
            real_risk = F.softplus(-critic(d_leaves, (images[rows], y))).mean()
            fake_risk = F.softplus(critic(d_leaves, (fake.detach(), y))).mean()
            d_moments = adam.apply(critic.weights(d), slopes(real_risk + fake_risk, d_leaves), d_moments, adam.lr)
            risk = F.softplus(-critic(d, (fake, y))).mean()
            g_moments = adam.apply(generator.weights(g), slopes(risk, g_leaves), g_moments, adam.lr)
            g |= moved
        return g


def imagine(net: Net, generator: Tree, labels: Tensor, key: Key) -> Tensor:
    """Generated images of labels (m,), (m, channels, height, width) in [-1, 1]."""
    z = torch.randn(len(labels), generator["label.weight"].shape[1], generator=key("noise").torch())
    images: Tensor = net.frozen(generator, (z, labels))
    return images


def leaves(net: Net, params: Tree) -> Tree:
    """The weights as differentiable leaves that share memory with params."""
    return {name: leaf.detach().requires_grad_() for name, leaf in net.weights(params).items()}


def slopes(loss: Tensor, params: Tree) -> Tree:
    """Gradient of a loss by name."""
    return dict(zip(params, torch.autograd.grad(loss, list(params.values())), strict=True))

"""Distillation at the server on images of a generator that it trains against the ensemble of the clients' models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms._gan import leaves, slopes
from algorithms.fedavg import FedAvg
from benchmark.core import ops, tree
from benchmark.core.api import Hub, Key, Optim, Tree, Upload, hyper

Ask = Callable[[Tensor], Tensor]  # images -> logits: of all clients (n, B, C), or of the student (B, C)


@dataclass(frozen=True)
class DataFree(FedAvg):
    """`epochs` turns of `generator_steps` steps of Adam for the generator, and `student_steps` of SGD for the student.

    The generator is `faug_generator`, which is told a label; its images in [-1, 1] are multiplied by `span` to lie as a
    network's inputs do. Networks answer it in training mode, for want of gradients in evaluation mode.
    """

    epochs: int = hyper(20, low=1)
    generator_steps: int = hyper(10, low=1)
    student_steps: int = hyper(10, low=1)
    batch: int = hyper(64, low=2)
    generator_lr: float = hyper(1e-3, low=0)
    student_lr: float = hyper(0.01, low=0)
    span: float = hyper(2.0, low=0)

    def generator_risk(self, ensemble: Tensor, student: Tensor, y: Tensor) -> Tensor:
        """What the generator minimises, of logits (B, C) for its images."""
        raise NotImplementedError

    def weights(self, uploads: Sequence[Upload], classes: int) -> Tensor:
        """Weights of the clients' logits by class at first (n, C)."""
        return torch.full((len(uploads), classes), 1 / len(uploads))

    def labels(self, uploads: Sequence[Upload], classes: int, draw: torch.Generator) -> Tensor:
        """Labels to generate images of (batch,)."""
        return torch.randint(classes, (self.batch,), generator=draw)

    def boosted(self, x: Tensor, y: Tensor, weights: Tensor, ask: Ask, student: Ask) -> tuple[Tensor, Tensor]:
        """The images to distil on, and the weights to distil with."""
        return x, weights

    def refined(self, start: Tree, arch: str, uploads: Sequence[Upload], hub: Hub, key: Key) -> Tree:
        """A student that starts at a model, after all turns."""
        net, model, draw = hub.network("faug_generator"), hub.models[arch], key("draws").torch()
        adam, sgd = Optim("adam", lr=self.generator_lr), Optim(lr=self.student_lr, momentum=0.9)
        g, x, weights = net.init(key("generator")), tree.copy(start), self.weights(uploads, hub.classes)
        g_moments, moments, noise = adam.start(), sgd.start(), g["label.weight"].shape[1]

        def ask(images: Tensor) -> Tensor:
            return torch.stack([hub.models[u.who.arch](u.message["model"], images).logits for u in uploads])

        def student(images: Tensor) -> Tensor:
            logits: Tensor = model(x, images).logits
            return logits

        for _ in range(self.epochs):
            z, y = torch.randn(self.batch, noise, generator=draw), self.labels(uploads, hub.classes, draw)
            for _ in range(self.generator_steps):
                moving = leaves(net, g)
                fake, moved = net.train({**g, **moving}, (z, y))
                images = self.span * fake
                risk = self.generator_risk(mixture(ask(images), weights, y), student(images), y)
                g_moments = adam.apply(net.weights(g), slopes(risk, moving), g_moments, adam.lr)
                g |= moved
            for _ in range(self.student_steps):
                z, y = torch.randn(self.batch, noise, generator=draw), self.labels(uploads, hub.classes, draw)
                images, weights = self.boosted(self.span * net.frozen(g, (z, y)), y, weights, ask, student)
                moving = leaves(model, x)
                output, moved = model.train({**x, **moving}, images)
                risk = ops.kl(mixture(ask(images), weights, y).detach(), output.logits)
                moments = sgd.apply(model.weights(x), slopes(risk, moving), moments, sgd.lr)
                x |= moved
        return x


def mixture(answers: Tensor, weights: Tensor, y: Tensor) -> Tensor:
    """Weighted sums (B, C) of the clients' logits (n, B, C), by weights (n, C) of the class that an image is of."""
    return (weights[:, y].unsqueeze(2) * answers).sum(0)

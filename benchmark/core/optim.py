"""SGD and Adam on flat trees, as PyTorch defines them."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from benchmark.core.tree import Tree


class Moments(NamedTuple):
    """The state of an optimiser within a pass.

    Attributes:
        first: First moments of all parameters; empty until the first step.
        second: Second moments of all parameters; empty until the first step, and for SGD.
        steps: Steps so far.
    """

    first: list[Tensor]
    second: list[Tensor]
    steps: int


@dataclass(frozen=True)
class Optim:
    """An optimiser's settings.

    Attributes:
        name: "sgd" or "adam".
        lr: Learning rate of a phase's first round.
        momentum: Momentum of SGD.
        weight_decay: L2 penalty, added to the gradient.
        decay: Factor of the learning rate from one round of a phase to the next.
        betas: Decay rates of Adam's first and second moment.
        eps: Added to the root of Adam's second moment.
        schedule: How the learning rate falls over the rounds t = 0, 1, ... of a phase: "exponential" is lr * decay**t,
            "cosine" is lr * (1 + cos(pi * t / rounds)) / 2, which would be zero after the last of `rounds` rounds.
        rounds: Rounds of a cosine.
    """

    name: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0
    decay: float = 1.0
    schedule: Literal["exponential", "cosine"] = "exponential"
    rounds: int = 1
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def rate(self, round_: int) -> float:
        """Learning rate of a round, counted from 0 within its phase; beyond `rounds` a cosine keeps its last rate."""
        if self.schedule == "cosine":
            return self.lr * (1 + cos(pi * min(round_, self.rounds - 1) / self.rounds)) / 2
        return self.lr * self.decay**round_

    def start(self) -> Moments:
        """A fresh state."""
        return Moments([], [], 0)

    @torch.no_grad()
    def apply(self, params: Tree, gradients: Tree, moments: Moments, lr: float) -> Moments:
        """One step on parameters, in place.

        Args:
            params: A flat tree whose tensors are dense in memory; parameters and moments are updated in place.
            gradients: A flat tree with the same names.
            moments: What the step before returned, or `start()`.
            lr: The learning rate of this step.

        Returns:
            The moments for the next step.
        """
        values = list(params.values())
        grads = [_in_layout_of(value, gradients[name]) for name, value in params.items()]
        first, second, steps = moments
        options: dict[str, Any] = {"lr": lr, "weight_decay": self.weight_decay, "maximize": False, "fused": True}
        if self.name == "adam":
            first = first or [torch.zeros_like(value) for value in values]
            second = second or [torch.zeros_like(value) for value in values]
            counts = [torch.tensor(float(steps), device=value.device) for value in values]  # `adam` adds 1 to each
            options |= {"beta1": self.betas[0], "beta2": self.betas[1], "eps": self.eps, "amsgrad": False}
            adam(values, grads, first, second, [], counts, **options)
        else:
            buffers: list[Tensor | None] = [*first] or [None] * len(values)
            sgd(values, grads, buffers, momentum=self.momentum, dampening=0, nesterov=False, **options)
            first = [buffer for buffer in buffers if buffer is not None]
        return Moments(first, second, steps + 1)

    def apply_pure(
        self, params: Tree, gradients: Tree, first: Tree, second: Tree, step: Tensor, lr: Tensor
    ) -> tuple[Tree, Tree, Tree]:
        """`apply` as a pure function of tensors, for `vmap` over clients.

        PyTorch's own functions read the values of learning rate and step, which neither `vmap` nor CUDA graphs allow.

        Args:
            params: A flat tree.
            gradients: A flat tree with the same names.
            first: First moments by name, zeros before the first step; empty for SGD without momentum.
            second: Second moments by name, zeros before the first step; empty for SGD.
            step: Number of this step, counted from 1.
            lr: The learning rate of this step.

        Returns:
            New parameters, first and second moments.
        """
        if self.weight_decay:
            gradients = {name: gradient + self.weight_decay * params[name] for name, gradient in gradients.items()}
        if self.name == "adam":
            beta1, beta2 = self.betas
            first = {name: torch.lerp(first[name], gradient, 1 - beta1) for name, gradient in gradients.items()}
            second = {name: beta2 * second[name] + (1 - beta2) * g * g for name, g in gradients.items()}
            lr, root = lr / (1 - beta1 ** step.double()), (1 - beta2 ** step.double()).sqrt()
            gradients = {n: m / (second[n].sqrt() / root.to(m.dtype) + self.eps) for n, m in first.items()}
        elif self.momentum:
            gradients = first = {name: self.momentum * first[name] + g for name, g in gradients.items()}
        return {name: value - lr.to(value.dtype) * gradients[name] for name, value in params.items()}, first, second


def _in_layout_of(value: Tensor, gradient: Tensor) -> Tensor:
    """The gradient in the memory order of its parameter: the fused step reads both from end to end."""
    same = gradient.stride() == value.stride()
    return gradient if same else torch.empty_like(value).copy_(gradient)

"""SGD and Adam on flat trees, as PyTorch defines them. Parameters and state are updated in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from benchmark.core.tree import Tree


class Moments(NamedTuple):
    """What an optimiser remembers between the steps of one pass; empty lists until the first step."""

    first: list[Tensor]
    second: list[Tensor]
    steps: int


@dataclass(frozen=True)
class Optim:
    """An optimiser's settings; `decay` multiplies the rate once per round of a phase."""

    name: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0
    decay: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def rate(self, round_: int) -> float:
        """Learning rate of a round, counted from 0 within its phase."""
        return self.lr * self.decay**round_

    def start(self) -> Moments:
        """A fresh state."""
        return Moments([], [], 0)

    @torch.no_grad()
    def apply(self, params: Tree, gradients: Tree, moments: Moments, lr: float) -> Moments:
        """One step on `params`, in place.

        params, gradients: flat trees with the same names; parameters lie dense in memory
        lr: the learning rate of this step
        """
        values = list(params.values())
        grads = [_alike(gradients[name], value) for name, value in params.items()]
        if self.name == "adam":
            return self._adam(values, grads, moments, lr)
        first = moments.first or ([torch.empty_like(v) for v in values] if self.momentum else [])
        torch._fused_sgd_(
            values, grads, first, weight_decay=self.weight_decay, momentum=self.momentum, lr=lr, dampening=0,
            nesterov=False, maximize=False, is_first_step=moments.steps == 0,
        )  # fmt: skip
        return Moments(first, [], moments.steps + 1)

    def _adam(self, values: list[Tensor], grads: list[Tensor], moments: Moments, lr: float) -> Moments:
        first = moments.first or [torch.zeros_like(v) for v in values]
        second = moments.second or [torch.zeros_like(v) for v in values]
        one, two = self.betas
        steps = moments.steps + 1
        torch._fused_adam_(
            values, grads, first, second, [], [torch.tensor(float(steps))] * len(values), lr=lr, beta1=one, beta2=two,
            weight_decay=self.weight_decay, eps=self.eps, amsgrad=False, maximize=False,
        )  # fmt: skip
        return Moments(first, second, steps)


def _alike(gradient: Tensor, value: Tensor) -> Tensor:
    """The gradient in the memory order of its parameter: the fused step reads both from end to end."""
    same = gradient.stride() == value.stride()
    return gradient if same else torch.empty_like(value).copy_(gradient)

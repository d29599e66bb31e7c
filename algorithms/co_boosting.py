"""Co-Boosting: harder images and better weights of the ensemble improve each other, in one round."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from algorithms._data_free import Ask, mixture
from algorithms.dense import Dense
from benchmark.core import ops
from benchmark.core.api import Tensor, hyper


@dataclass(frozen=True)
class CoBoosting(Dense):
    """Co-Boosting: DENSE whose ensemble D = sum_k w_k f_k learns w, and whose images are made harder.

    The generator's cross-entropy weighs an image by its difficulty 1 - softmax(D(x))_y. Before the student learns from
    an image, it moves by `epsilon` along the sign of the gradient of KL(D || f_S), towards what the two disagree on;
    then w moves by `mu` along the sign of minus the gradient of CE(D(x), y) and is normalised to a sum of one. The
    paper moves the images by a random direction of disagreement and keeps all that were generated.
    Source: Dai et al., ICLR 2024, algorithm 1; epsilon = 8/255 of the range and mu = 0.1 / n.
    """

    paper = "Dai et al. 2024, arXiv 2402.15070"
    epsilon: float = hyper(8 / 255, "ε", low=0)
    mu: float = hyper(0.1, "μ", low=0)

    def generator_risk(self, ensemble: Tensor, student: Tensor, y: Tensor) -> Tensor:
        hardness = 1 - ensemble.softmax(1).gather(1, y.unsqueeze(1)).squeeze(1).detach()
        right = F.cross_entropy(ensemble, y, reduction="none")
        return super().generator_risk(ensemble, student, y) + ((hardness - 1) * right).mean()

    def boosted(self, x: Tensor, y: Tensor, weights: Tensor, ask: Ask, student: Ask) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        gap = ops.kl(mixture(ask(x), weights, y), student(x))
        harder = (x + self.epsilon * 2 * self.span * torch.autograd.grad(gap, x)[0].sign()).detach()
        return harder, self.reweighted(weights, ask(harder).detach(), y)

    def reweighted(self, weights: Tensor, answers: Tensor, y: Tensor) -> Tensor:
        """The weights (n, C), equal for all classes, after a step on clients' logits (n, B, C)."""
        each = weights[:, :1].detach().requires_grad_()
        risk = F.cross_entropy(mixture(answers, each.expand_as(weights), y), y)
        moved = (each - self.mu / len(each) * torch.autograd.grad(risk, each)[0].sign()).detach().clamp(min=1e-6)
        return (moved / moved.sum()).expand_as(weights)

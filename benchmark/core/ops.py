"""Losses and small tensor functions that also work under `vmap(grad(...))`: no branches on values, no `.item()`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.core.tree import Tree


def mean(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over samples (B,), those with mask 0 left out."""
    if mask is None:
        return values.mean()
    return (values * mask).sum() / mask.sum().clamp(min=1)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """(…) int64 -> (…, classes) float."""
    return (labels.unsqueeze(-1) == torch.arange(classes, device=labels.device)).float()


def cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of logits (B, C) with labels (B,)."""
    if mask is None:
        return F.cross_entropy(logits, labels)
    return mean(F.cross_entropy(logits, labels, reduction="none"), mask)


def soft_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of -sum_c targets_c log softmax(logits)_c; targets (B, C) need not sum to one: a zero row adds nothing."""
    return mean(-(targets * F.log_softmax(logits, dim=-1)).sum(-1), mask)


def kl(teacher: Tensor, student: Tensor, tau: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Mean over samples of KL(softmax(teacher / tau) || softmax(student / tau)), without the factor tau^2."""
    log_p = F.log_softmax(teacher / tau, dim=-1)
    log_q = F.log_softmax(student / tau, dim=-1)
    return mean((log_p.exp() * (log_p - log_q)).sum(-1), mask)


def not_true(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits without the true class: (B, C) -> (B, C - 1)."""
    classes = logits.shape[-1]
    others = torch.arange(classes - 1, device=logits.device).expand(*labels.shape, classes - 1)
    others = others + (others >= labels.unsqueeze(-1)).long()
    return logits.gather(-1, others)


def by_label(values: Tensor, labels: Tensor, classes: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sums of values (B, D) and counts of samples by label: (classes, D) and (classes,)."""
    hot = one_hot(labels, classes)
    if mask is not None:
        hot = hot * mask.unsqueeze(-1)
    return hot.T @ values, hot.sum(0)


def nt_xent(a: Tensor, b: Tensor, tau: float, mask: Tensor | None = None) -> Tensor:
    """Normalised temperature-scaled cross-entropy of two views (B, D): every view against the other 2B - 1."""
    z = F.normalize(torch.cat([a, b]), dim=-1)
    similarity = z @ z.T / tau
    count = a.shape[0]
    rows = torch.arange(2 * count, device=z.device)
    blocked = rows.unsqueeze(0) == rows.unsqueeze(1)
    if mask is not None:
        blocked = blocked | (torch.cat([mask, mask]) == 0).unsqueeze(0)
    similarity = similarity.masked_fill(blocked, float("-inf"))
    partners = torch.cat([rows[count:], rows[:count]])
    losses = torch.logsumexp(similarity, -1) - similarity.gather(-1, partners.unsqueeze(-1)).squeeze(-1)
    if mask is None:
        return losses.mean()
    both = torch.cat([mask, mask])
    return mean(torch.where(both > 0, losses, torch.zeros_like(losses)), both)


def info_nce(query: Tensor, key: Tensor, negatives: Tensor, tau: float, mask: Tensor | None = None) -> Tensor:
    """Mean over queries (B, D) of -log softmax of the key's (B, D) among key and negatives (N, D), by cosine / tau."""
    query, key, negatives = (F.normalize(vectors, dim=-1) for vectors in (query, key, negatives))
    same = (query * key).sum(-1, keepdim=True) / tau
    logits = torch.cat([same, query @ negatives.T / tau], dim=-1)
    return mean(torch.logsumexp(logits, -1) - same.squeeze(-1), mask)


def relational(
    u: Tensor, v: Tensor, anchors: Tensor, tau: float, target_tau: float, textbook: bool = False,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """How differently two views (B, D) relate to anchors (N, D): half of KL(M || r_u) + KL(M || r_v) (FedX).

    r = softmax(cosine / tau) and M the mean of both views' softmax(cosine / target_tau), with gradients through M
    textbook: KL(r || M) instead, the Jensen-Shannon divergence
    """
    anchors = F.normalize(anchors, dim=-1)
    cosines = [F.normalize(view, dim=-1) @ anchors.T for view in (u, v)]
    middle = (F.softmax(cosines[0] / target_tau, -1) + F.softmax(cosines[1] / target_tau, -1)) / 2
    logs = [F.log_softmax(cosine / tau, -1) for cosine in cosines]
    if textbook:
        gaps = [(log.exp() * (log - middle.log())).sum(-1) for log in logs]
    else:
        gaps = [(torch.xlogy(middle, middle) - middle * log).sum(-1) for log in logs]
    return mean((gaps[0] + gaps[1]) / 2, mask)


def ema(slow: Tensor, fast: Tensor, momentum: float) -> Tensor:
    """momentum * slow + (1 - momentum) * fast, in the memory layout of fast."""
    return torch.lerp(fast, slow, momentum)


def k_means(x: Tensor, k: int, iterations: int = 10) -> tuple[Tensor, Tensor]:
    """Centres (k, D) and each sample's centre (n,) of x (n, D) after Lloyd's iterations.

    Nothing is random: centres start at k samples, evenly spaced; one without samples stays where it is.
    """
    centres = x[torch.arange(k, device=x.device) * len(x) // k]
    nearest = torch.cdist(x, centres).argmin(1)
    for _ in range(iterations):
        sums, counts = by_label(x, nearest, k)
        centres = torch.where(counts.unsqueeze(-1) > 0, sums / counts.clamp(min=1).unsqueeze(-1), centres)
        nearest = torch.cdist(x, centres).argmin(1)
    return centres, nearest


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """Entropy reduction: softmax(p / temperature) over the last axis (DS-FL)."""
    return F.softmax(probabilities / temperature, dim=-1)


def mean_of(tensors: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Weighted mean of equal shapes in the given order, accumulated in float64."""
    shares = weights or [1.0] * len(tensors)
    result = tensors[0].double() * shares[0]
    for tensor, share in zip(tensors[1:], shares[1:], strict=True):
        result = result + tensor.double() * share
    return (result / sum(shares)).to(tensors[0].dtype)


def pushed(gradients: Tree, direction: Tree, scale: float = 1.0) -> Tree:
    """gradients + scale * direction for flat trees: the gradient of a linear term, without its backward pass."""
    return {name: torch.add(g, direction[name], alpha=scale) for name, g in gradients.items()}


def pulled(gradients: Tree, params: Tree, anchor: Tree, strength: float) -> Tree:
    """gradients + strength * (params - anchor): the gradient of strength / 2 ||params - anchor||^2 on top."""
    return {name: torch.add(g, params[name] - anchor[name], alpha=strength) for name, g in gradients.items()}


def effective_steps(steps: int, momentum: float) -> float:
    """How many times its gradient a model moves in so many steps of SGD with momentum, starting at rest.

    a = (K - rho (1 - rho^K) / (1 - rho)) / (1 - rho), which is K without momentum (Wang et al. 2020, FedNova).
    """
    return (steps - momentum * (1 - momentum**steps) / (1 - momentum)) / (1 - momentum)

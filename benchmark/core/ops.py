"""Losses and small tensor functions that also work under `vmap(grad(...))`: no branches on values, no `.item()`.

B is the number of samples of a batch, C the number of classes, D the width of a vector. Losses are scalars: means over
samples, in nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.core.tree import Tree, as_type


def mean(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over samples, without the padding.

    Args:
        values: One number for each sample (B,).
        mask: 1 for samples, 0 for padding (B,); None if nothing is padded.

    Returns:
        A scalar; 0 if all samples are padding.
    """
    if mask is None:
        return values.mean()
    return (values * mask).sum() / mask.sum().clamp(min=1)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Vectors with 1 at the label and 0 elsewhere.

    Args:
        labels: Labels of any shape (…), int64.
        classes: Number of classes.

    Returns:
        Vectors (…, classes), float32; zeros for a label of -1.
    """
    return (labels.unsqueeze(-1) == torch.arange(classes, device=labels.device)).float()


def cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of logits with labels.

    Args:
        logits: Logits (B, C).
        labels: Labels (B,), int64.
        mask: 1 for samples, 0 for padding (B,); None if nothing is padded.
    """
    if mask is None:
        return F.cross_entropy(logits, labels)
    return mean(F.cross_entropy(logits, labels, reduction="none"), mask)


def soft_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of logits with soft targets, -sum_c targets_c log softmax(logits)_c.

    Args:
        logits: Logits (B, C).
        targets: Targets (B, C); they need not sum to one, and a row of zeros adds nothing.
        mask: 1 for samples, 0 for padding (B,); None if nothing is padded.
    """
    return mean(-(targets * F.log_softmax(logits, dim=-1)).sum(-1), mask)


def kl(teacher: Tensor, student: Tensor, tau: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Mean over samples of KL(softmax(teacher / tau) || softmax(student / tau)), without the factor tau^2.

    Args:
        teacher: Logits (B, C).
        student: Logits (B, C).
        tau: Temperature.
        mask: 1 for samples, 0 for padding (B,); None if nothing is padded.

    Source: Hinton et al., Distilling the Knowledge in a Neural Network, 2015.
    """
    log_p = F.log_softmax(teacher / tau, dim=-1)
    log_q = F.log_softmax(student / tau, dim=-1)
    return mean((log_p.exp() * (log_p - log_q)).sum(-1), mask)


def not_true(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits without that of the true class.

    Args:
        logits: Logits (B, C).
        labels: Labels (B,), int64.

    Returns:
        Logits (B, C - 1), classes in their order.

    Source: Lee et al., Preservation of the Global Knowledge by Not-True Distillation, NeurIPS 2022 (FedNTD).
    """
    classes = logits.shape[-1]
    others = torch.arange(classes - 1, device=logits.device).expand(*labels.shape, classes - 1)
    return logits.gather(-1, others + (others >= labels.unsqueeze(-1)).long())


def by_label(values: Tensor, labels: Tensor, classes: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sums of vectors and numbers of samples by label.

    Args:
        values: Vectors (B, D).
        labels: Labels (B,), int64.
        classes: Number of classes.
        mask: 1 for samples, 0 for padding (B,); None if nothing is padded.

    Returns:
        Sums (classes, D) and numbers of samples (classes,), float32.
    """
    hot = one_hot(labels, classes) if mask is None else one_hot(labels, classes) * mask.unsqueeze(-1)
    return hot.T @ values, hot.sum(0)


def nt_xent(a: Tensor, b: Tensor, tau: float, mask: Tensor | None = None) -> Tensor:
    """Normalised temperature-scaled cross-entropy of two views: each view against the other 2B - 1.

    Args:
        a: First views (B, D).
        b: Second views (B, D).
        tau: Temperature of the cosines.
        mask: 1 for samples, 0 for padding (B,); None if nothing is padded.

    Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020 (SimCLR).
    """
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
    """Mean over queries of -log softmax of the key's among key and negatives, by cosine / tau.

    Args:
        query: Queries (B, D).
        key: The key of each query (B, D).
        negatives: Negatives of all queries (N, D).
        tau: Temperature of the cosines.
        mask: 1 for samples, 0 for padding (B,); None if nothing is padded.

    Source: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020 (MoCo).
    """
    query, key, negatives = (F.normalize(vectors, dim=-1) for vectors in (query, key, negatives))
    same = (query * key).sum(-1, keepdim=True) / tau
    logits = torch.cat([same, query @ negatives.T / tau], dim=-1)
    return mean(torch.logsumexp(logits, -1) - same.squeeze(-1), mask)


def relational(
    u: Tensor, v: Tensor, anchors: Tensor, tau: float, target_tau: float, textbook: bool = False,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """How differently two views relate to anchors: the mean of (KL(M || r_u) + KL(M || r_v)) / 2.

    r = softmax(cosine / tau), and M is the mean of both views' softmax(cosine / target_tau), with gradients through M.

    Args:
        u: First views (B, D).
        v: Second views (B, D).
        anchors: Anchors (N, D).
        tau: Temperature of r.
        target_tau: Temperature of M.
        textbook: True takes KL(r || M) instead: the Jensen-Shannon divergence.
        mask: 1 for samples, 0 for padding (B,); None if nothing is padded.

    Source: Han et al., FedX: Unsupervised Federated Learning with Cross Knowledge Distillation, ECCV 2022.
    """
    anchors = F.normalize(anchors, dim=-1)
    cosines = [F.normalize(view, dim=-1) @ anchors.T for view in (u, v)]
    middle = (F.softmax(cosines[0] / target_tau, -1) + F.softmax(cosines[1] / target_tau, -1)) / 2
    logs = [F.log_softmax(cosine / tau, -1) for cosine in cosines]
    if textbook:  # M underflows where its logarithm does not
        log_middle = torch.logaddexp(*(F.log_softmax(cosine / target_tau, -1) for cosine in cosines)) - math.log(2)
        gaps = [(log.exp() * (log - log_middle)).sum(-1) for log in logs]
    else:  # x log x is not differentiable at an M of 0, which adds nothing
        middle = middle.clamp(min=torch.finfo(middle.dtype).tiny)
        gaps = [(torch.xlogy(middle, middle) - middle * log).sum(-1) for log in logs]
    return mean((gaps[0] + gaps[1]) / 2, mask)


def ema(slow: Tensor, fast: Tensor, momentum: float) -> Tensor:
    """Exponential moving average, momentum * slow + (1 - momentum) * fast.

    Args:
        slow: The average so far.
        fast: The new value, of the same shape.
        momentum: Share of the average so far.

    Returns:
        The new average, in the memory layout of `fast`.
    """
    return torch.lerp(fast, slow, momentum)


def k_means(x: Tensor, k: int, iterations: int = 10) -> tuple[Tensor, Tensor]:
    """Clusters of samples by Lloyd's iterations.

    Nothing is random: centres start at k samples, evenly spaced; one without samples stays where it is.

    Args:
        x: Samples (n, D).
        k: Number of clusters, at most n.
        iterations: Number of iterations.

    Returns:
        Centres (k, D), and the number of each sample's centre (n,).
    """
    centres = x[torch.arange(k, device=x.device) * len(x) // k]
    nearest = torch.cdist(x, centres).argmin(1)
    for _ in range(iterations):
        sums, counts = by_label(x, nearest, k)
        centres = torch.where(counts.unsqueeze(-1) > 0, sums / counts.clamp(min=1).unsqueeze(-1), centres)
        nearest = torch.cdist(x, centres).argmin(1)
    return centres, nearest


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """Entropy reduction: softmax(p / temperature) over the last axis.

    Args:
        probabilities: Probabilities (…, C).
        temperature: Below 1 it sharpens.

    Returns:
        Probabilities (…, C).

    Source: Itahara et al., Distillation-Based Semi-Supervised Federated Learning, 2020 (DS-FL).
    """
    return F.softmax(probabilities / temperature, dim=-1)


def mean_of(tensors: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Weighted mean of tensors, accumulated in float64 in the given order.

    Args:
        tensors: Tensors of one shape.
        weights: One number for each tensor, of any sum; None weighs them equally.

    Returns:
        A tensor of the first one's type; integers are rounded.
    """
    shares = weights or [1.0] * len(tensors)
    result = tensors[0].double() * shares[0]
    for tensor, share in zip(tensors[1:], shares[1:], strict=True):
        result = result + tensor.double() * share
    return as_type(result / sum(shares), tensors[0].dtype)


def pushed(gradients: Tree, direction: Tree, scale: float = 1.0) -> Tree:
    """gradients + scale * direction: adds the gradient of a linear term without a backward pass.

    Args:
        gradients: A flat tree.
        direction: A flat tree with all names of `gradients`.
        scale: Factor of the direction.
    """
    return {name: torch.add(g, direction[name], alpha=scale) for name, g in gradients.items()}


def pulled(gradients: Tree, params: Tree, anchor: Tree, strength: float) -> Tree:
    """gradients + strength * (params - anchor): adds the gradient of strength / 2 ||params - anchor||^2.

    Args:
        gradients: A flat tree.
        params: A flat tree with all names of `gradients`.
        anchor: A flat tree with all names of `gradients`.
        strength: Factor of the distance.
    """
    return {name: torch.add(g, params[name] - anchor[name], alpha=strength) for name, g in gradients.items()}


def effective_steps(steps: int, momentum: float) -> float:
    """How many times a constant gradient SGD with momentum moves a model, starting at rest.

    a = (K - rho (1 - rho^K) / (1 - rho)) / (1 - rho), which is K without momentum.

    Args:
        steps: Number of steps, K.
        momentum: Momentum, rho, below 1.

    Source: Wang et al., Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization,
    NeurIPS 2020 (FedNova).
    """
    return (steps - momentum * (1 - momentum**steps) / (1 - momentum)) / (1 - momentum)

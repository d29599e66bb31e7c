"""How far the clients of a round drift from each other and from the model that they received."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch

from benchmark.core.tree import Tree


class Drift(NamedTuple):
    """Drift of the clients of one round.

    gradient_diversity: Lambda = sum_k p_k |d_k|^2 / |sum_k p_k d_k|^2, where d_k is what client k changed in the
        weights that it received and p_k its share of the cohort's images; 1 if all clients move alike, larger the more
        their changes cancel
    weight_divergence: mean over clients of |d_k|

    Source: Lee et al. 2022 (FedNTD), section 2.3; gradient diversity without shares: Yin et al. 2018.
    """

    gradient_diversity: float
    weight_divergence: float


def drift(
    received: Sequence[Tree], uploaded: Sequence[Tree], sizes: Sequence[int], names: Collection[str]
) -> Drift | None:
    """Drift of clients from the models that they received and uploaded.

    Args:
        received: Model of every client before its local work, flat trees.
        uploaded: Model of every client after it, in the same order.
        sizes: Images of every client.
        names: Entries that train; running statistics say nothing of gradients.

    Returns:
        None where the mean change is zero, of which nothing can be a multiple.
    """
    shares = [size / sum(sizes) for size in sizes]
    squares, joint = torch.zeros(len(sizes), dtype=torch.float64), 0.0
    for name in sorted(names):
        mean = torch.zeros_like(received[0][name], dtype=torch.float64)
        for client, (before, after) in enumerate(zip(received, uploaded, strict=True)):
            change = after[name].double() - before[name].double()
            squares[client] += change.square().sum()
            mean.add_(change, alpha=shares[client])
        joint += float(mean.square().sum())
    if joint == 0:
        return None
    weighted = float(squares @ torch.tensor(shares, dtype=torch.float64))
    return Drift(weighted / joint, float(squares.sqrt().mean()))

"""FedTGP: the server trains the prototypes that FedProto averages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from algorithms.fedproto import FedProto, unpacked
from benchmark.core.api import Hub, Key, Optim, Phase, Tensor, Tree, Upload, hyper


@dataclass(frozen=True)
class FedTGP(FedProto):
    """FedTGP: prototypes P^_c = F(P_c), of trainable vectors P_c and an MLP F, near the clients' own.

    For a client's prototype p of class c the server minimises -log e^{-(d_c + delta)} / (e^{-(d_c + delta)} +
    sum_{j != c} e^{-d_j}), d_j = ||p - P^_j||, over `epochs` epochs of SGD. delta is the largest of the classes'
    distances to their nearest other class, between the clients' mean prototypes, and at most `margin`.
    Source: Zhang et al., AAAI 2024, algorithm 1.
    """

    paper = "Zhang et al. 2024, arXiv 2401.03230"
    margin: float = hyper(100.0, "τ", low=0)
    epochs: int = hyper(100, "S", low=1)
    batch: int = hyper(10, low=1)
    rate: float = hyper(0.01, "η_S", low=0)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        draw, d = key("prototypes").torch(), self.d
        shapes = {"vectors": (hub.classes, d), "one": (d, d), "two": (d, d)}
        leaves = {name: torch.randn(shape, generator=draw) / d**0.5 for name, shape in shapes.items()}
        return {
            **super().init_server(hub, key),
            "trained": {**leaves, "bias_one": torch.zeros(d), "bias_two": torch.zeros(d)},
        }

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        averaged = super().aggregate(server, uploads, phase, hub, key)
        reported = [(unpacked(u.message), u.message["counts"] > 0) for u in uploads]
        points = torch.cat([rows[known] for rows, known in reported])
        labels = torch.cat([known.nonzero().flatten() for _, known in reported])
        known = averaged["counts"] > 0
        trained = self._trained(server["trained"], points, labels, self._gap(averaged["prototypes"][known]), key)
        return {"prototypes": prototypes(trained).detach(), "counts": averaged["counts"], "trained": trained}

    def _gap(self, centres: Tensor) -> Tensor:
        """delta (): at most `margin`, and zero for a single class."""
        if len(centres) < 2:
            return torch.zeros(())
        distances = torch.cdist(centres, centres) + torch.diag(torch.full((len(centres),), torch.inf))
        return distances.min(1).values.max().clamp(max=self.margin)

    def _trained(self, start: Tree, points: Tensor, labels: Tensor, gap: Tensor, key: Key) -> Tree:
        trained, sgd = {name: leaf.clone() for name, leaf in start.items()}, Optim(lr=self.rate)
        moments = sgd.start()
        for epoch in range(self.epochs):
            order = torch.from_numpy(key("epoch", epoch).permutation(len(points)))
            for rows in order.split(self.batch):
                leaves = {name: leaf.detach().requires_grad_() for name, leaf in trained.items()}
                risk = separation(points[rows], labels[rows], prototypes(leaves), gap)
                slopes = dict(zip(leaves, torch.autograd.grad(risk, list(leaves.values())), strict=True))
                moments = sgd.apply(trained, slopes, moments, self.rate)
        return trained


def prototypes(trained: Tree) -> Tensor:
    """F of the trainable vectors, (C, d)."""
    hidden = F.linear(trained["vectors"], trained["one"], trained["bias_one"]).relu()
    return F.linear(hidden, trained["two"], trained["bias_two"])


def separation(points: Tensor, labels: Tensor, centres: Tensor, gap: Tensor) -> Tensor:
    """Mean cross-entropy of clients' prototypes (n, d) with minus their distances to the centres (C, d) as logits."""
    distances = torch.cdist(points, centres)
    return F.cross_entropy(-(distances + gap * F.one_hot(labels, len(centres))), labels)

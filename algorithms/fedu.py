"""FedU: BYOL whose predictor follows the server only while the client has not drifted far from it."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.fedbyol import FedBYOL
from benchmark.core import tree as trees
from benchmark.core.api import Local, Phase, Site, Tree, hyper, torch


@dataclass(frozen=True)
class FedU(FedBYOL):
    """FedU: FedBYOL, but a client takes the global predictor only if |w - w_k|^2 < mu, else it keeps its own.

    w and w_k are the received encoder and the client's own of its last round, each with its projection.
    Source: Zhuang et al., ICCV 2021; the authors' later code takes the mean over convolutions of unsquared distances.
    """

    paper = "Zhuang et al. 2021, arXiv 2108.06492"
    mu: float = hyper(0.4, "μ", low=0)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        if client and message is not None:
            message = {"model": self.updated(client["model"], message["model"], site)}
        return super().begin(client, message, phase, site)

    def updated(self, own: Tree, received: Tree, site: Site) -> Tree:
        """The received model with the predictor that the client goes on with."""
        weights = site.model.weights(received)
        predictor = trees.select(weights, "prediction")
        encoder = {name: leaf for name, leaf in weights.items() if name not in predictor}
        near = trees.squared_distance(encoder, own) < self.mu
        return {**received, **{name: torch.where(near, leaf, own[name]) for name, leaf in predictor.items()}}

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        _, upload = super().finish(client, local, message, phase, site)
        return {"model": local.params}, upload

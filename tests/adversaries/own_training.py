"""Trains on its own before the passes begin."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class OwnTraining(Algorithm):
    """A loop of its own."""

    track = ("global",)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        weights = {name: leaf.clone().requires_grad_() for name, leaf in message["model"].items()}
        for _ in range(20):
            loss = torch.nn.functional.cross_entropy(site.model(weights, site.data.inputs()).logits, site.data.labels)
            for leaf, gradient in zip(weights.values(), torch.autograd.grad(loss, list(weights.values())), strict=True):
                leaf.data.sub_(gradient, alpha=0.1)
        return Local({name: leaf.detach() for name, leaf in weights.items()})

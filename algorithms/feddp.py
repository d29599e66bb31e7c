"""FedDP: FedAvg whose clients clip their updates and whose server adds noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmark.core import tree
from benchmark.core.api import Algorithm, Batch, Gradient, Hub, Key, Local, Phase, Site, Update, Upload, average, hyper
from benchmark.core.tree import Tree


@dataclass(frozen=True)
class FedDP(Algorithm):
    """Privacy of participants: ||w_k - G|| <= S after every local step, then G <- mean_k w_k + N(0, sigma^2).

    The mean is plain, since a client must not weigh more than S / K. Clipping looks at what trains; noise is added to
    every number of the model, running statistics included, as in the published code.
    Source: stage 1 with privacy of Yu, Bagdasaryan & Shmatikov 2020, after McMahan et al., ICLR 2018.
    """

    paper = "McMahan et al. 2018, arXiv 1710.06963"
    clip: float = hyper(15.0, "S", low=1e-6)
    sigma: float = hyper(0.01, "σ", low=0)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local.having(context={"global": local.params})

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        gradients, extras = gradient(local, batch)
        local = update(local, gradients)
        near = projected({name: local.params[name] for name in gradients}, local.context["global"], self.clip)
        return local.having(params={**local.params, **near}), extras

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        models = average(server["models"], alike(uploads))
        heard = {upload.who.arch for upload in uploads}
        return {**server, "models": {
            arch: noised(model, self.sigma, key(arch)) if arch in heard else model for arch, model in models.items()
        }}  # fmt: skip


def projected(params: Tree, centre: Tree, radius: float) -> Tree:
    """The nearest point to params within a distance of radius from the centre."""
    distance = tree.squared_distance(params, centre).sqrt()
    shrink = radius / distance.clamp(min=radius)
    return {n: torch.where(distance > radius, centre[n] + shrink * (w - centre[n]), w) for n, w in params.items()}


def noised(model: Tree, sigma: float, key: Key) -> Tree:
    """A model with N(0, sigma^2) added to every number that is not an integer."""
    return {
        name: leaf + sigma * torch.randn(leaf.shape, generator=key(name).torch()) if leaf.is_floating_point() else leaf
        for name, leaf in model.items()
    }


def alike(uploads: Sequence[Upload]) -> list[Upload]:
    """The uploads as from clients of equal size: weighted means of them are plain."""
    return [upload._replace(who=upload.who._replace(size=1)) for upload in uploads]

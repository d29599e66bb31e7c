"""MTL: every client learns its own task without losing what matters to the federated one (EWC)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from algorithms._personal import Personalised
from benchmark.core import tree
from benchmark.core.api import Batch, Data, Hub, Key, Local, Net, Pass, Phase, Site, Tree, Upload, Who, hyper

CHUNK = 32  # public images whose gradients are in memory at once


@dataclass(frozen=True)
class EWC(Personalised):
    """Multi-task adaptation: L = CE + lambda / 2 sum_i F_i (w_i - G_i)^2, F the diagonal Fisher information of G.

    The server takes F once, over the task's labelled public images, in a phase without messages, and sends it beside G.
    fisher: "sample" averages the squares of every image's gradient of CE; "batch" averages B times the square of a
    batch's mean gradient, as the published code does (there over a part of the test set). Training mode in both.
    Source: Yu, Bagdasaryan & Shmatikov 2020, MTL, after Kirkpatrick et al. 2017.
    """

    needs = ("labelled public",)
    penalty: float = hyper(5000.0, "λ", low=0)
    fisher: Literal["sample", "batch"] = hyper("sample")

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        train, adapt = super().phases(rounds)
        return train, Phase("fisher", 1), adapt

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return () if phase.name == "fisher" else super().passes(phase, site)

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        if phase.name == "fisher":
            return None
        fisher = {"fisher": server["fisher"][who.arch]} if phase.name == "adapt" else {}
        return {"model": server["models"][who.arch], **fisher}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        if message is None:
            return Local({})
        local = super().begin(client, message, phase, site)
        return local.having(context={**local.context, "fisher": message.get("fisher", {})})

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        risk, extras = super().loss(params, local, batch, model)
        return risk + self.penalty / 2 * moved(params, local.context["global"], local.context["fisher"]), extras

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return (client, None) if message is None else super().finish(client, local, message, phase, site)

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        if phase.name != "fisher":
            return super().aggregate(server, uploads, phase, hub, key)
        assert hub.public is not None
        models, public = server["models"], hub.public
        return {**server, "fisher": {a: information(hub.models[a], models[a], public, self.fisher) for a in models}}


def moved(params: Tree, centre: Tree, fisher: Tree) -> Tensor:
    """sum_i F_i (w_i - G_i)^2."""
    return torch.stack([(f * (params[name] - centre[name]).square()).sum() for name, f in fisher.items()]).sum()


def information(model: Net, params: Tree, data: Data, kind: str) -> Tree:
    """The diagonal of the empirical Fisher information over labelled images, by name of what trains."""
    weights = {name: leaf.detach().clone().requires_grad_() for name, leaf in model.weights(params).items()}
    sums = tree.zeros(model.weights(params))
    for rows in torch.split(torch.arange(data.size), CHUNK):
        logits = model.train({**params, **weights}, data.inputs(rows))[0].logits
        losses = torch.nn.functional.cross_entropy(logits, data.labels[rows], reduction="none")
        size = len(rows)
        # each row of weights is one gradient to square: of an image, or of sqrt(B) times the batch's mean
        pick = torch.eye(size) if kind == "sample" else torch.full((1, size), size**-0.5)
        gradients = torch.autograd.grad(losses, list(weights.values()), pick, is_grads_batched=True)
        sums = {n: total + g.square().sum(0) for (n, total), g in zip(sums.items(), gradients, strict=True)}
    return tree.scale(sums, 1 / data.size)

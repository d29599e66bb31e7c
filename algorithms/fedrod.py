"""FedRoD: a common classifier trained for all classes alike, and a client's own one on top of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from benchmark.core import ops
from benchmark.core.api import Algorithm, Batch, Key, Local, Net, Phase, Site, Tensor, Tree, Who, hyper

NAMES = ("weight", "bias")


@dataclass(frozen=True)
class FedRoD(Algorithm):
    """FedRoD: L = CE(g(x) + tau log n_y, y) + CE(g(x) + p(x), y), g the common logits, p = W h(x) + b the client's own.

    The second term trains W and b alone: it sees g and the features h without their gradient. They start at zero, never
    leave the client, and n_y are its class counts, with 1 for a class that it lacks. A client deploys g + p, which is
    one linear layer. The paper's other form of p, by a hypernetwork, is left out.
    Source: Chen & Chao, ICLR 2022, FedRoD (linear).
    """

    paper = "Chen & Chao 2022, arXiv 2107.00778"
    track = ("personal",)
    tau: float = hyper(1.0, "γ", low=0)

    def init_client(self, site: Site, key: Key) -> Tree:
        model = site.model.init(key)
        return {name: torch.zeros_like(model[f"classifier.{name}"]) for name in NAMES}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        prior = site.data.counts.float().clamp(min=1).log()
        return local.having(params={**local.params, **{f"own.{n}": client[n] for n in NAMES}}, context={"prior": prior})

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        output = model(params, batch.x)
        balanced = ops.cross_entropy(output.logits + self.tau * local.context["prior"], batch.y, batch.mask)
        own = F.linear(output.features.detach(), params["own.weight"], params["own.bias"])
        return balanced + ops.cross_entropy(output.logits.detach() + own, batch.y, batch.mask), {}

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        common = {name: leaf for name, leaf in local.params.items() if not name.startswith("own.")}
        return {name: local.params[f"own.{name}"] for name in NAMES}, {"model": common}

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        model = super().local_model(server, client, who)
        return {**model, **{f"classifier.{name}": model[f"classifier.{name}"] + client[name] for name in NAMES}}

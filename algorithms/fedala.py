"""FedALA: every client starts from its own mixture of the received model and its last one, learned number by number."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Gradient, Local, Pass, Phase, Site, Tree, Update, Who, hyper


@dataclass(frozen=True)
class FedALA(Algorithm):
    """FedALA: theta = theta_k + (theta_g - theta_k) W in the entries that `top` names, theta = theta_g elsewhere.

    theta_k is what the client trained last. Before training it learns W by W <- clip(W - eta grad (theta_g - theta_k),
    0, 1) over a share `s` of its images, with the gradient of the cross-entropy at theta. W starts at ones and stays
    with the client. The paper repeats this until it converges in a client's second visit; here one epoch is taken at
    every visit. `top` stands for the p = 1 highest layer of the paper; "" mixes all layers.
    Source: Zhang et al., AAAI 2023, algorithm 1; s = 80 %, eta = 1, p = 1 as in the paper.
    """

    paper = "Zhang et al. 2023, arXiv 2212.01197"
    track = ("personal",)
    eta: float = hyper(1.0, "η", low=0)
    s: float = hyper(0.8, "s", low=0, high=1)
    top: str = hyper("classifier.")

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return Pass(epochs=1, step="align", only=self.top, rows="sampled"), Pass()

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        sampled = site.key("sampled").choice(site.data.size, round(self.s * site.data.size))
        new = trees.select(site.model.weights(local.params), self.top)
        old = {name: client["model"][name] if client else leaf for name, leaf in new.items()}
        ones = {name: torch.ones_like(leaf) for name, leaf in new.items()}
        weights = trees.copy(client["weights"]) if client else ones
        context = {"new": new, "old": old, "sampled": torch.from_numpy(sampled)}
        return local.having(params={**local.params, **mixed(old, new, weights)}, context=context, carry=weights)

    def align(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        """A step of W, and the mixture with it."""
        gradients, _ = gradient(local, batch)
        old, new = local.context["old"], local.context["new"]
        moved = {n: local.carry[n] - self.eta * gradients[n] * (new[n] - old[n]) for n in new}
        weights = {name: leaf.clamp(0, 1) for name, leaf in moved.items()}
        return local.having(params={**local.params, **mixed(old, new, weights)}, carry=weights), {}

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {"model": local.params, "weights": local.carry}, {"model": local.params}

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        own: Tree | None = client.get("model")
        return super().local_model(server, client, who) if own is None else own


def mixed(old: Tree, new: Tree, weights: Tree) -> Tree:
    """old + (new - old) W, which is `new` to the bit where W is one."""
    return {name: torch.lerp(old[name], leaf, weights[name]) for name, leaf in new.items()}

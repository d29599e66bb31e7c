"""Ditto: every client trains a model of its own that stays near the federated one."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Gradient, Local, Pass, Phase, Site, Tree, Update, Who, hyper


@dataclass(frozen=True)
class Ditto(Algorithm):
    """Ditto: w_k as in FedAvg, then v_k with the gradient of CE(v) + lambda / 2 ||v - w||^2, w the received model.

    Both take the task's passes, so that a client trains twice as long as under FedAvg; v_k starts at the client's
    first received model and never leaves it.
    Source: Li et al., ICML 2021, algorithm 1; lambda is chosen there per client out of 0.05, 0.1 and 0.2, or fixed.
    """

    paper = "Li et al. 2021, arXiv 2012.04221"
    track = ("personal",)
    lam: float = hyper(0.1, "λ", low=0)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return Pass(), Pass(steps=1, step="swap"), Pass(step="personal_step")

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        own = client.get("personal", local.params)
        return local.having(context={"global": local.params}, carry={"other": trees.copy(own)})

    def swap(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        """Put the client's own model in the place of the common one, and nothing else."""
        return local.having(params=local.carry["other"], carry={"other": local.params}), {}

    def personal_step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        """A step of the client's own model."""
        gradients, extras = gradient(local, batch)
        return update(local, ops.pulled(gradients, local.params, local.context["global"], self.lam)), extras

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {"personal": local.params}, {"model": local.carry["other"]}

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        own: Tree | None = client.get("personal")
        return super().local_model(server, client, who) if own is None else own

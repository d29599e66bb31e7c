"""APFL: every client deploys a mixture of the federated model and one of its own."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Gradient, Local, Phase, Site, Tensor, Tree, Update, Who, hyper


@dataclass(frozen=True)
class APFL(Algorithm):
    """APFL: w_k as in FedAvg, and v_k <- v_k - eta alpha grad CE(u_k) at the mixture u_k = alpha v_k + (1 - alpha) w_k.

    Both move on the same batch. v_k takes plain SGD, starts at the client's first received model and never leaves it;
    u_k is deployed. The paper can also learn alpha; here it is fixed.
    Source: Deng, Kamani & Mahdavi 2020, algorithm 1.
    """

    paper = "Deng et al. 2020, arXiv 2003.13461"
    track = ("personal",)
    alpha: float = hyper(0.5, "α", low=0, high=1)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local.having(carry={"own": trees.copy(client.get("own", local.params))})

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        gradients, extras = gradient(local, batch)
        own = local.carry["own"]
        mixture = {**own, **{name: self.mixed(own[name], local.params[name]) for name in gradients}}
        slopes, _ = gradient(local.having(params=mixture), batch)
        moved = {name: own[name] - local.lr * self.alpha * slope for name, slope in slopes.items()}
        return update(local, gradients).having(carry={"own": {**mixture, **moved}}), extras

    def mixed(self, own: Tensor, common: Tensor) -> Tensor:
        """alpha v + (1 - alpha) w."""
        return self.alpha * own + (1 - self.alpha) * common

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        own = local.carry["own"]
        deployed = {**own, **{n: self.mixed(own[n], local.params[n]) for n in site.model.weights(own)}}
        return {"own": own, "deployed": deployed}, {"model": local.params}

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        deployed: Tree | None = client.get("deployed")
        return super().local_model(server, client, who) if deployed is None else deployed

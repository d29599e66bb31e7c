"""What the methods of personalisation share: federate first, then every client adapts a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from algorithms._adaptation import Adaptation
from algorithms.fedavg import FedAvg
from algorithms.feddp import FedDP, alike
from algorithms.fedmedian import FedMedian
from benchmark.core.api import Algorithm, Batch, Gradient, Hub, Local, Pass, Phase, Site, Update, Upload, Who, hyper
from benchmark.core.keys import Key
from benchmark.core.tree import Tree


@dataclass(frozen=True)
class Personalised(Adaptation):
    """Stage 1 federates G, by a mean, a private mean or a median; stage 2 adapts copies of it with `loss` and `step`.

    The paper counts no communication for stage 2; here every client receives the final G, P floats, and sends nothing.
    The means of stage 1 are plain, as in the paper: clients of different size count alike.
    """

    server: Literal["mean", "dp", "median"] = hyper("mean")
    clip: float = hyper(15.0, "S of dp", low=1e-6)
    sigma: float = hyper(0.01, "σ of dp", low=0)

    federated_loss = Algorithm.loss

    @property
    def federated(self) -> Algorithm:
        """The method of stage 1."""
        if self.server == "dp":
            return FedDP(clip=self.clip, sigma=self.sigma)
        return FedMedian() if self.server == "median" else FedAvg()

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        if phase.name == "train":
            return (Pass(loss="federated_loss", step="federated_step"),)
        return super().passes(phase, site)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local.having(context={"global": local.params})

    def federated_step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        return self.federated.step(local, batch, gradient, update)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        if phase.name == "adapt":
            return {"model": local.params}, None
        return super().finish(client, local, message, phase, site)

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        return self.federated.aggregate(server, alike(uploads), phase, hub, key)

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        own: Tree | None = client.get("model")
        return super().local_model(server, client, who) if own is None else own

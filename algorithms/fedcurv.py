"""FedCurv: elastic weight consolidation towards the other clients' models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Gradient, Hub, Local, Pass, Phase, Site, Update, Upload, Who, hyper
from benchmark.core.keys import Key
from benchmark.core.tree import Tree


@dataclass(frozen=True)
class FedCurv(Algorithm):
    """FedCurv: L = CE + lambda (<P, w^2> - 2 <Q, w>), P = sum_j F_j and Q = sum_j F_j w_j over the other clients.

    F_j is the diagonal Fisher information at w_j, measured after local training as the mean of squared gradients.
    Everyone who ever took part counts with his last F_j. The sums travel down, the changes of F_k and F_k w_k up.
    size: batches are taken until more than so many samples are seen
    batch: samples per gradient; 1 is the Fisher of the paper, None the task's batch as code published with FedNTD takes
    Source: Shoham et al. 2019, equations 3 and 4.
    """

    paper = "Shoham et al. 2019, arXiv 1910.07796"
    needs = ("one architecture",)
    lam: float = hyper(1.0, "λ", low=0)
    size: int = hyper(500, low=0)
    batch: int | None = hyper(None, low=1)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        batch = self.batch or site.train.batch
        looks = min(self.size // batch + 1, -(-site.data.size // batch))
        return Pass(), Pass(steps=looks, batch=batch, step="measure")

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        arch = hub.whos[0].arch
        return {**server, **_nothing(hub.models[arch].weights(server["models"][arch]))}

    def init_client(self, site: Site, key: Key) -> Tree:
        return _nothing(site.model.weights(site.model.init(key)))

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return {"model": server["models"][who.arch], "fisher": server["fisher"], "pull": server["pull"]}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        others = {name: trees.sub(message[name], client[name]) for name in ("fisher", "pull")}
        squares = trees.zeros(others["fisher"])
        return super().begin(client, message, phase, site).having(context=others, carry={"squares": squares})

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        gradients, extras = gradient(local, batch)
        P, Q = local.context["fisher"], local.context["pull"]
        slope = {name: P[name] * local.params[name] - Q[name] for name in P}
        return update(local, ops.pushed(gradients, slope, 2 * self.lam)), extras

    def measure(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        """Add a squared gradient and leave the model alone."""
        gradients, extras = gradient(local, batch)
        squares = trees.map(lambda total, g: total + g * g, local.carry["squares"], gradients)
        return local.having(carry={"squares": squares}), extras

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        fisher = trees.scale(local.carry["squares"], 1 / (self.passes(phase, site)[1].steps or 1))
        now = {"fisher": fisher, "pull": {name: f * local.params[name] for name, f in fisher.items()}}
        return now, {"model": local.params, **trees.sub(now, client)}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        sums = {}
        for name in ("fisher", "pull"):
            parts = [server[name], *(upload.message[name] for upload in uploads)]
            sums[name] = trees.total(parts, [1.0] * len(parts))
        return {**super().aggregate(server, uploads, phase, hub, key), **sums}


def _nothing(weights: Tree) -> Tree:
    return {"fisher": trees.zeros(weights), "pull": trees.zeros(weights)}

"""SCAFFOLD: control variates take the clients' drift out of their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Gradient, Hub, Local, Phase, Site, Update, Upload, Who, average, hyper
from benchmark.core.keys import Key
from benchmark.core.tree import Tree


@dataclass(frozen=True)
class Scaffold(Algorithm):
    """SCAFFOLD: g <- g - c_i + c; c_i+ = c_i - c + (w_t - w_k) / (K eta); c <- c + |S| / N mean_k (c_k+ - c_k).

    This is option II for the variates, with a server rate of 1.
    adaptive: count steps with their momentum, as code published with FedNTD does, which is K without momentum, the
        paper's case; dividing by K under momentum 0.9 makes variates ten times too long, and training fails
    weighted: average the models by n_k, as that code does; the paper takes the plain mean
    share: how much of the mean change the server's variate takes, if not |S| / N
    Source: Karimireddy et al., ICML 2020, algorithm 1.
    """

    paper = "Karimireddy et al. 2020, arXiv 1910.06378"
    needs = ("one architecture",)
    adaptive: bool = hyper(True)
    weighted: bool = hyper(False)
    share: float | None = hyper(None, "|S|/N", low=0, high=1)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        arch = hub.whos[0].arch
        return {**server, "control": trees.zeros(hub.models[arch].weights(server["models"][arch]))}

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"control": trees.zeros(site.model.weights(site.model.init(key)))}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return {"model": server["models"][who.arch], "control": server["control"]}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        correction = trees.sub(message["control"], client["control"])
        return super().begin(client, message, phase, site).having(context={"correction": correction})

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        gradients, extras = gradient(local, batch)
        return update(local, ops.pushed(gradients, local.context["correction"])), extras

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        assert message is not None
        momentum = site.train.optim.momentum if self.adaptive else 0.0
        divisor = ops.effective_steps(local.steps, momentum) * local.lr
        change = {n: (message["model"][n] - local.params[n]) / divisor - c for n, c in message["control"].items()}
        return {"control": trees.add(client["control"], change)}, {"model": local.params, "change": change}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        equal = [Upload(upload.who._replace(size=1), upload.message) for upload in uploads]
        share = len(uploads) / len(hub.whos) if self.share is None else self.share
        change = trees.mean([upload.message["change"] for upload in uploads])
        models = average(server["models"], uploads if self.weighted else equal)
        return {**server, "models": models, "control": trees.add(server["control"], change, share)}

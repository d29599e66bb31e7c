"""FedDyn: dynamic regularisation aligns the clients' optima with the global one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Gradient, Hub, Local, Phase, Site, Update, Upload, average, hyper
from benchmark.core.keys import Key
from benchmark.core.tree import Tree


@dataclass(frozen=True)
class FedDyn(Algorithm):
    """FedDyn: L = CE - <h_k, w> + alpha / 2 ||w - w_t||^2, then h_k <- h_k - alpha (w_k - w_t).

    Server: h <- h - alpha / N sum_k (w_k - w_t), w_{t+1} = mean_k w_k - h / alpha. Only s = h / alpha is kept, on both
    sides: the two local terms are alpha / 2 ||w - (w_t + s_k)||^2 up to a constant. Running statistics are averaged.
    weighted: mean by n_k, as code published with FedNTD does; the paper takes the plain mean
    Source: Acar et al., ICLR 2021, algorithm 1.
    """

    paper = "Acar et al. 2021, arXiv 2111.04263"
    needs = ("one architecture",)
    alpha: float = hyper(0.1, "α", low=0)
    weighted: bool = hyper(False)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        arch = hub.whos[0].arch
        return {**server, "shift": trees.zeros(hub.models[arch].weights(server["models"][arch]))}

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"shift": trees.zeros(site.model.weights(site.model.init(key)))}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local.having(context={"anchor": trees.add(client["shift"], local.params)})

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        gradients, extras = gradient(local, batch)
        return update(local, ops.pulled(gradients, local.params, local.context["anchor"], self.alpha)), extras

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        shift = {name: anchor - local.params[name] for name, anchor in local.context["anchor"].items()}
        return {"shift": shift}, {"model": local.params}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        arch, clients = uploads[0].who.arch, len(hub.whos)
        equal = [Upload(upload.who._replace(size=1), upload.message) for upload in uploads]
        model = average(server["models"], uploads if self.weighted else equal)[arch]
        weights = hub.models[arch].weights
        before, plain = weights(server["models"][arch]), trees.mean([weights(u.message["model"]) for u in uploads])
        shift = trees.add(server["shift"], trees.sub(plain, before), -len(uploads) / clients)
        return {**server, "models": {arch: model | trees.sub(weights(model), shift)}, "shift": shift}

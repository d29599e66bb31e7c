"""FedNova: normalise local progress by the number of steps it took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Gradient, Hub, Local, Phase, Site, Update, Upload, Who, average, hyper
from benchmark.core.keys import Key
from benchmark.core.tree import Tree


@dataclass(frozen=True)
class FedNova(Algorithm):
    """FedNova: w_{t+1} = w_t - tau_eff sum_k p_k (w_t - w_k) / a_k, tau_eff = sum_k p_k a_k, p_k = n_k / sum_k n_k.

    a_k is the momentum-corrected number of steps, which the server derives from n_k. Running statistics are averaged.
    variance_reduction: g <- g - d_i + d with d_i the client's last mean gradient and d = sum_j n_j d_j / sum_j n_j
        over all clients; doubles the messages
    stale: leave d at zero, which needs no message, and keep the corrected gradient as d_i, as code published with
        FedNTD does
    Source: Wang et al., NeurIPS 2020, equations 7 and 9 and section 5.
    """

    paper = "Wang et al. 2020, arXiv 2007.07481"
    needs = ("one architecture",)
    variance_reduction: bool = hyper(False)
    stale: bool = hyper(False)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        if not self._shared:
            return server
        arch, samples = hub.whos[0].arch, sum(who.size for who in hub.whos)
        drift = trees.zeros(hub.models[arch].weights(server["models"][arch]))
        return {**server, "drift": drift, "samples": torch.tensor(samples)}

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"drift": trees.zeros(site.model.weights(site.model.init(key)))} if self.variance_reduction else {}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        model = {"model": server["models"][who.arch]}
        return {**model, "drift": server["drift"]} if self._shared else model

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        if message is None or not self.variance_reduction:
            return local
        drift = message["drift"] if self._shared else trees.zeros(client["drift"])
        return local.having(context={"correction": trees.sub(drift, client["drift"])})

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        gradients, extras = gradient(local, batch)
        if self.variance_reduction:
            gradients = ops.pushed(gradients, local.context["correction"])
        return update(local, gradients), extras

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        if message is None or not self.variance_reduction:
            return client, {"model": local.params}
        scale = ops.effective_steps(local.steps, site.train.optim.momentum) * local.lr
        drift = {n: (message["model"][n] - local.params[n]) / scale for n in client["drift"]}
        if self.stale:
            return {"drift": drift}, {"model": local.params}
        drift = trees.sub(drift, local.context["correction"])
        return {"drift": drift}, {"model": local.params, "change": trees.sub(drift, client["drift"])}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        arch, total = uploads[0].who.arch, sum(upload.who.size for upload in uploads)
        progress = [_progress(upload.who, hub) for upload in uploads]
        portions = [upload.who.size / total for upload in uploads]
        effective = sum(p * a for p, a in zip(portions, progress, strict=True))
        shares = [effective * p / a for p, a in zip(portions, progress, strict=True)]
        everything = [server["models"][arch], *(upload.message["model"] for upload in uploads)]
        weights = [hub.models[arch].weights(model) for model in everything]
        model = average(server["models"], uploads)[arch] | trees.total(weights, [1 - sum(shares), *shares])
        server = {**server, "models": {arch: model}}
        if self._shared:
            parts = [upload.who.size / int(server["samples"]) for upload in uploads]
            change = trees.total([upload.message["change"] for upload in uploads], parts)
            server["drift"] = trees.add(server["drift"], change)
        return server

    @property
    def _shared(self) -> bool:
        """Whether the server has d, which then moves with the models."""
        return self.variance_reduction and not self.stale


def _progress(who: Who, hub: Hub) -> float:
    """a_k of a client, which skips batches of one image where the network has BatchNorm."""
    per_epoch = math.ceil(who.size / hub.train.batch)
    steps = hub.train.steps or hub.train.epochs * per_epoch
    if hub.models[who.arch].buffers and who.size % hub.train.batch == 1:
        steps -= steps // per_epoch
    return ops.effective_steps(steps, hub.train.optim.momentum)

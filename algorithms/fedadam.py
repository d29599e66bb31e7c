"""FedAdam: Adam on the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Hub, Key, Phase, Tensor, Tree, Upload, average, hyper


@dataclass(frozen=True)
class FedAdam(Algorithm):
    """FedAdam: m <- beta_1 m + (1 - beta_1) d, v <- beta_2 v + (1 - beta_2) d^2, w <- w + eta m / (sqrt(v) + tau).

    d is the mean of w_k - w over the cohort, weighted by n_k. m starts at zero and v at tau^2; the paper corrects no
    bias. Running statistics are averaged. The paper tunes eta and tau per task; eta = 0.03 is our default.
    Source: Reddi et al., ICLR 2021, algorithm 2.
    """

    paper = "Reddi et al. 2021, arXiv 2003.00295"
    eta: float = hyper(0.03, "η", low=0)
    beta1: float = hyper(0.9, "β_1", low=0, high=1)
    beta2: float = hyper(0.99, "β_2", low=0, high=1)
    tau: float = hyper(1e-3, "τ", low=1e-12)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        weights = {arch: hub.models[arch].weights(model) for arch, model in server["models"].items()}
        second = trees.map(lambda leaf: torch.full_like(leaf, self.tau**2), weights)
        return {**server, "first": trees.zeros(weights), "second": second}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        models = average(server["models"], uploads)
        first, second = dict(server["first"]), dict(server["second"])
        for arch in {upload.who.arch: None for upload in uploads}:
            before, mean = server["models"][arch], models[arch]
            change = {name: mean[name] - before[name] for name in first[arch]}
            first[arch] = {n: self.beta1 * m + (1 - self.beta1) * change[n] for n, m in first[arch].items()}
            second[arch] = {n: self.second_moment(v, change[n].square()) for n, v in second[arch].items()}
            step = {n: self.eta * m / (second[arch][n].sqrt() + self.tau) for n, m in first[arch].items()}
            models[arch] = {**mean, **{name: before[name] + move for name, move in step.items()}}
        return {**server, "models": models, "first": first, "second": second}

    def second_moment(self, v: Tensor, square: Tensor) -> Tensor:
        """The new v from the old one and d^2."""
        return self.beta2 * v + (1 - self.beta2) * square

"""FedAvgM: momentum on the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Hub, Key, Phase, Tree, Upload, average, hyper


@dataclass(frozen=True)
class FedAvgM(Algorithm):
    """FedAvgM: m <- beta m + (w_t - mean_k w_k), w_{t+1} = w_t - m, with the mean weighted by n_k.

    As m is w_t - w_{t+1}, the step is computed as w_{t+1} = mean_k w_k - beta m. Running statistics are only averaged.
    Source: Hsu et al. 2019, section 4.3.
    """

    paper = "Hsu et al. 2019, arXiv 1909.06335"
    beta: float = hyper(0.7, "β", low=0, high=1)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        rest = {arch: trees.zeros(hub.models[arch].weights(model)) for arch, model in server["models"].items()}
        return {**server, "momentum": rest}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        models, momentum = average(server["models"], uploads), dict(server["momentum"])
        for arch in {upload.who.arch: None for upload in uploads}:
            before, speed = server["models"][arch], momentum[arch]
            models[arch] = models[arch] | {name: models[arch][name] - self.beta * speed[name] for name in speed}
            momentum[arch] = {name: before[name] - models[arch][name] for name in speed}
        return {**server, "models": models, "momentum": momentum}

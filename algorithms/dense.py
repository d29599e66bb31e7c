"""DENSE: after the last round the server distils the clients' ensemble into one model, on images that it generates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from algorithms._data_free import DataFree
from benchmark.core.api import Hub, Key, Phase, Tensor, Tree, Upload, hyper


@dataclass(frozen=True)
class Dense(DataFree):
    """DENSE: the generator minimises CE(D(x), y) - lambda_2 mean(omega KL(D(x) || f_S(x))), the student KL(D || f_S).

    D is the mean of the clients' logits, omega one where D and the student f_S name different classes and zero
    elsewhere. Up to the last round this is FedAvg; the paper has one round. The student starts at the clients' mean,
    with fresh=True untrained. The paper's term on BatchNorm's statistics is left out: methods do not see inner layers.
    It takes T = 200 turns of T_G = 30 generator steps, and trains the student on all images generated so far.
    Source: Zhang et al., NeurIPS 2022, algorithm 1; lambda_2 = 0.5.
    """

    paper = "Zhang et al. 2022, arXiv 2112.12371"
    track = ("global", "heterogeneous")
    lam: float = hyper(0.5, "λ_2", low=0)
    fresh: bool = hyper(False)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {**super().init_server(hub, key), "round": torch.tensor(0)}

    def generator_risk(self, ensemble: Tensor, student: Tensor, y: Tensor) -> Tensor:
        differ = (ensemble.argmax(1) != student.argmax(1)).float()
        log_d, log_s = ensemble.log_softmax(1), student.log_softmax(1)
        apart = (differ * (log_d.exp() * (log_d - log_s)).sum(1)).mean()
        return F.cross_entropy(ensemble, y) - self.lam * apart

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        new = {**super().aggregate(server, uploads, phase, hub, key), "round": server["round"] + 1}
        if int(new["round"]) < phase.rounds:
            return new
        models = new["models"]
        if self.fresh:
            models = {arch: hub.models[arch].init(key("fresh", arch)) for arch in models}
        return {**new, "models": {a: self.refined(model, a, uploads, hub, key(a)) for a, model in models.items()}}

"""Fed-ET: the server trains a network of its own on what the clients' ensemble agrees on, and on what it disputes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms._gan import leaves, slopes
from algorithms.fedavg import FedAvg
from benchmark.core import tree as trees
from benchmark.core.api import Batch, Hub, Key, Local, Net, Optim, Phase, Tree, Upload, hyper


@dataclass(frozen=True)
class FedET(FedAvg):
    """Fed-ET: the server minimises CE(s(x), y_x) + lambda KL(q_x || s(x)) on unlabelled images, by Adam.

    y_x is the class that sum_k alpha_k f_k(x) names, alpha_k proportional to the variance of the logits f_k(x), and q_x
    the mean, with the same weights, of the softmax of the clients that name another class, and the second term is
    zero where there is none. The judged network s is of the client's architecture, or of the one that `server` names.
    Clients of one architecture start from their mean; in the paper they also take over layers of the server's network.
    Source: Cho et al., IJCAI 2022, equations 3 to 6; lambda = 0.05 and 100 steps are ours.
    """

    paper = "Cho et al. 2022, arXiv 2204.12703"
    track = ("global",)
    needs = ("unlabelled",)
    server: str = hyper("")
    lam: float = hyper(0.05, "λ", low=0)
    steps: int = hyper(100, low=0)
    batch: int = hyper(128, low=1)
    lr: float = hyper(1e-3, low=0)

    def networks(self, arch: str) -> dict[str, str]:
        return {"client": arch, "server": self.server or arch}

    def init_server(self, hub: Hub, key: Key) -> Tree:
        models = {arch: model["client"].init(key("model", arch)) for arch, model in hub.models.items()}
        first = hub.whos[0].arch
        return {"models": models, "own": hub.models[first]["server"].init(key("server"))}

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        return super().loss(params, local, batch, model["client"])

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        assert hub.unlabelled is not None
        model, own, adam = hub.models[hub.whos[0].arch]["server"], trees.copy(server["own"]), Optim("adam", lr=self.lr)
        moments = adam.start()
        for batch in hub.unlabelled.batches(key, self.batch, self.steps, augment=False):
            asked = [hub.models[u.who.arch]["client"].frozen(u.message["model"], batch.x).logits for u in uploads]
            moving = leaves(model, own)
            output, moved = model.train({**own, **moving}, batch.x)
            risk = self.risk(torch.stack(asked), output.logits)
            moments = adam.apply(model.weights(own), slopes(risk, moving), moments, adam.lr)
            own |= moved
        return {**super().aggregate(server, uploads, phase, hub, key), "own": own}

    def risk(self, answers: Tensor, student: Tensor) -> Tensor:
        """What the server minimises, of the clients' logits (n, B, C) and its own (B, C)."""
        shares = answers.var(2) / answers.var(2).sum(0).clamp(min=1e-12)
        agreed = (shares.unsqueeze(2) * answers).sum(0).argmax(1)
        other = shares * (answers.argmax(2) != agreed)
        total = other.sum(0)
        disputed = (other.unsqueeze(2) * answers.softmax(2)).sum(0) / total.clamp(min=1e-12).unsqueeze(1)
        gap = (torch.xlogy(disputed, disputed) - disputed * student.log_softmax(1)).sum(1) * (total > 0)
        return F.cross_entropy(student, agreed) + self.lam * gap.mean()

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        own: Tree = server["own"]
        return own

    def predict(self, params: Tree, x: Tensor, model: Net) -> Tensor:
        logits: Tensor = model["server"].frozen(params, x).logits
        return logits

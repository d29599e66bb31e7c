"""FedTHE: at test time every image weighs the common and the client's own classifier for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms._class_sums import ClassSums
from algorithms.fedgen import classify
from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Batch, Hub, Key, Local, Net, Phase, Site, Tree, Upload, Who, average, hyper


@dataclass(frozen=True)
class FedTHE(ClassSums):
    """FedTHE: logits y = e g(h) + (1 - e) p(h), g the common classifier, p the client's own, e in (0, 1) by image.

    Clients train as in FedAvg, and p beside it on h without its gradient; the paper trains p afterwards. For an image
    the logit of e starts at 0 and takes `steps` steps down (1 - s) H(softmax(y)) + s (e ||h - m_g||^2 + (1 - e)
    ||h - m_k||^2) / d: s is the cosine of both answers, m_k the client's mean of h, m_g that over clients, which the
    paper moves along the stream of tested images. Source: Jiang & Lin, ICLR 2023, algorithm 1.
    """

    paper = "Jiang & Lin 2023, arXiv 2205.10920"
    track = ("personal",)
    steps: int = hyper(20, low=0)
    rate: float = hyper(0.1, low=0)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        means = {arch: {"h": torch.zeros_like(m["classifier.weight"][0])} for arch, m in server["models"].items()}
        return {**server, "means": means}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        own = client.get("own") or head(local.params, "classifier.", "own.")
        return local.having(params={**local.params, **own}, carry=self.nothing(local.params))

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        output = model(params, batch.x)
        own = classify(head(params, "own.", "classifier."), output.features.detach())
        risks = [ops.cross_entropy(logits, batch.y, batch.mask) for logits in (output.logits, own)]
        return risks[0] + risks[1], {}

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        own, mean = trees.select(local.params, "own."), {"h": local.carry["features"].sum(0) / site.data.size}
        model = {name: leaf for name, leaf in local.params.items() if name not in own}
        return {"own": own, "mean": mean}, {"model": model, "mean": mean}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        means = average(server["means"], uploads, "mean")
        return {**super().aggregate(server, uploads, phase, hub, key), "means": means}

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        model, common = super().local_model(server, client, who), server["means"][who.arch]
        own = client.get("own") or head(model, "classifier.", "own.")
        return {**model, **own, "near": client.get("mean", common)["h"], "far": common["h"]}

    def predict(self, params: Tree, x: Tensor, model: Net) -> Tensor:
        h = model.frozen(params, x).features
        answers = torch.stack([classify(params, h), classify(head(params, "own.", "classifier."), h)])
        gaps = torch.stack([(h - params[name]).square().mean(1) for name in ("far", "near")])
        alike, logit = torch.cosine_similarity(*answers), torch.zeros_like(gaps[0])
        for _ in range(self.steps):
            shares = torch.stack([logit := logit.detach().requires_grad_(), -logit]).sigmoid()
            doubt = torch.special.entr((shares.unsqueeze(2) * answers).sum(0).softmax(1)).sum(1)
            risk = (1 - alike) * doubt + alike * (shares * gaps).sum(0)
            logit = logit - self.rate * torch.autograd.grad(risk.sum(), logit)[0]
        return (torch.stack([logit, -logit]).sigmoid().unsqueeze(2) * answers).sum(0)


def head(params: Tree, old: str, new: str) -> Tree:
    """A classifier's entries under another prefix."""
    return {new + name.removeprefix(old): leaf for name, leaf in trees.select(params, old).items()}

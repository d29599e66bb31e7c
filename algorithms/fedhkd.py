"""FedHKD: clients exchange mean features and mean soft answers per class beside their models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from algorithms._class_sums import ClassSums, means
from algorithms.fedgen import classify
from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Batch, Hub, Key, Local, Net, Output, Phase, Site, Tensor, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class FedHKD(ClassSums):
    """FedHKD: L = CE + lambda mean_j ||softmax(h(H_j)) - Q_j||^2 + gamma mean_x ||f(x) - H_y||^2.

    f are the features that the classifier h reads. H_j and Q_j are the means of f and of softmax(h(f)) over all samples
    of class j that the cohort of the round before held; only known classes count. Up and down go the model, H (C, d),
    Q (C, C) and the class counts. The paper's noise on H and its threshold for rare classes are left out.
    Source: Chen et al., ICLR 2023, equations 6 to 9.
    """

    paper = "Chen et al. 2023, arXiv 2301.08968"
    needs = ("one architecture",)
    lam: float = hyper(0.05, "λ", low=0)
    gamma: float = hyper(0.05, "γ", low=0)

    def observed(self, output: Output) -> Tree:
        return {"features": output.features, "answers": output.logits.softmax(-1)}

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        (model,) = server["models"].values()
        return {**server, "knowledge": self.nothing(model)}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return {"model": server["models"][who.arch], "knowledge": server["knowledge"]}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        knowledge = message["knowledge"]
        context = {**knowledge, "known": (knowledge["counts"] > 0).float()}
        return Local(message["model"], context, self.nothing(message["model"]))

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        output, common = model(params, batch.x), local.context
        answers = classify(params, common["features"]).softmax(-1)
        alike = ops.mean((answers - common["answers"]).square().sum(-1), common["known"])
        distance = (output.features - common["features"][batch.y]).square().sum(-1) * common["known"][batch.y]
        risk = ops.cross_entropy(output.logits, batch.y, batch.mask)
        return risk + self.lam * alike + self.gamma * ops.mean(distance, batch.mask), {}

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return client, {"model": local.params, "knowledge": means(local.carry)}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        sums = trees.total([weighted(upload.message["knowledge"]) for upload in uploads], [1.0] * len(uploads))
        return {**super().aggregate(server, uploads, phase, hub, key), "knowledge": means(sums)}


def weighted(knowledge: Tree) -> Tree:
    """Sums from means: the inverse of `means`."""
    counts = knowledge["counts"]
    return {name: leaf if name == "counts" else leaf * counts.unsqueeze(1) for name, leaf in knowledge.items()}

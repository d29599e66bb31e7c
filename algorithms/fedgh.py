"""FedGH: the server trains one classifier on the clients' mean features, and every client uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from algorithms._class_sums import ClassSums, head_step, means
from algorithms.local import LocalOnly
from benchmark.core import tree as trees
from benchmark.core.api import Hub, Key, Local, Phase, Site, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class FedGH(ClassSums, LocalOnly):
    """FedGH: clients keep their bodies and take the common classifier h; up go mean features per class and counts.

    The server moves h by SGD on the cross-entropy of h at the clients' means, one step per client and epoch, in client
    order. Bodies may differ in the paper as long as their features have one width; the suite's architectures differ in
    it, so that a task of one architecture is asked for.
    Source: Yi et al., ACM MM 2023, algorithm 1.
    """

    paper = "Yi et al. 2023, arXiv 2303.13137"
    needs = ("one architecture",)
    lr: float = hyper(0.01, "η", low=0)
    epochs: int = hyper(1, low=1)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        ((arch, model),) = hub.models.items()
        return {"head": trees.select(model.init(key("model", arch)), "classifier.")}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return {"head": server["head"]}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        return Local({**client["model"], **message["head"]}, carry=self.nothing(client["model"]))

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {"model": local.params}, means(local.carry)

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        head = dict(server["head"])
        for _ in range(self.epochs):
            for upload in uploads:
                points, known = upload.message["features"], upload.message["counts"] > 0
                head = head_step(head, points, torch.arange(len(points)), self.lr, known.float())
        return {"head": head}

"""FedGKD: distil from the average of past global models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Hub, Key, Local, Net, Phase, Site, Tensor, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class FedGKD(Algorithm):
    """FedGKD: L = CE + coefficient tau^2 KL(softmax(g / tau) || softmax(q / tau)).

    q are the logits of the local model, g those of the mean of the last `buffer` global models, or of the initial one
    in the first round. The teacher is a second model in the download, unless the buffer holds only the current one.
    coefficient: the paper's gamma / 2
    Source: Yao et al. 2021, without the variant that weights several teachers by their validation loss.
    """

    paper = "Yao et al. 2021, arXiv 2107.00051"
    coefficient: float = hyper(0.1, "γ/2", low=0)
    buffer: int = hyper(5, "M", low=1)
    tau: float = hyper(1.0, "τ", low=1e-3)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        return {**server, "teachers": trees.copy(server["models"])}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        model = {"model": server["models"][who.arch]}
        return {**model, "teacher": server["teachers"][who.arch]} if self.buffer > 1 else model

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        teacher = message.get("teacher", message["model"])
        return super().begin(client, message, phase, site).having(context={"teacher": teacher})

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        q = model(params, batch.x).logits
        risk = ops.cross_entropy(q, batch.y, batch.mask)
        if self.coefficient == 0:
            return risk, {}
        g = model.frozen(local.context["teacher"], batch.x).logits
        return risk + self.coefficient * self.tau**2 * ops.kl(g, q, self.tau, batch.mask), {}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        server = super().aggregate(server, uploads, phase, hub, key)
        past = [*server.get("past", {}).values(), trees.copy(server["models"])][-self.buffer :]
        teachers = {arch: trees.mean([models[arch] for models in past]) for arch in server["models"]}
        return {**server, "past": {f"{age:04}": models for age, models in enumerate(past)}, "teachers": teachers}

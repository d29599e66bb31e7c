"""The ensemble of the last round's clients, which distillation at the server would put into one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from algorithms.fedavg import FedAvg
from benchmark.core import ops
from benchmark.core.api import Hub, Key, Net, Phase, Tensor, Tree, Upload


@dataclass(frozen=True)
class Ensemble(FedAvg):
    """FedAvg whose answers are the mean of the logits of all models of the last round, as large as all of them.

    It trains and sends what FedAvg does. Clients weigh alike, as in DENSE and in the published code of FedDF.
    Source: Lin et al., NeurIPS 2020, where it is the teacher.
    """

    paper = "Lin et al. 2020, arXiv 2006.07242"
    track = ("global",)
    needs = ("one architecture",)

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        members = {str(upload.who.id): upload.message["model"] for upload in uploads}
        return {**super().aggregate(server, uploads, phase, hub, key), "members": members}

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        members: Tree = server.get("members", {"mean": server["models"][arch]})
        return members

    def predict(self, params: Tree, x: Tensor, model: Net) -> Tensor:
        return ops.mean_of([model.frozen(member, x).logits for member in params.values()])

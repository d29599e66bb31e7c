"""Trains the frozen global model along, through the loss."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Batch, Local, Net, Phase, Site, Tensor, Tree


@dataclass(frozen=True)
class ChangedMessage(Algorithm):
    """Writes into the message."""

    track = ("global",)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        return Local(message["model"], context={"frozen": message["model"]})

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        local.context["frozen"]["classifier.bias"].add_(1.0)
        return super().loss(params, local, batch, model)

"""FedMoCo: momentum contrast at the clients, averaged."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._views import SlowViews, projections
from benchmark.core import ops
from benchmark.core.api import Batch, Local, Output, Phase, Site, Tensor, Tree, hyper, torch


@dataclass(frozen=True)
class FedMoCo(SlowViews):
    """FedMoCo: InfoNCE of a view's projection with the slow copy's key of the other, against a queue of past keys.

    Both directions, as FedX's other baselines have it. The queue starts with the received model's keys of the client's
    own images, so that no stale keys of an earlier round are left and the first step has negatives.
    Source: He et al., CVPR 2020; as FedX's baseline, query networks averaged.
    """

    paper = "He et al. 2020, arXiv 1911.05722"
    tau: float = hyper(0.1, "τ", low=1e-3)
    queue: int = hyper(1024, "K", low=1)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local.having(carry={**local.carry, "queue": projections(site, local.params, self.queue)})

    def query(self, output: Output) -> Tensor:
        return output.projection

    def agree(self, query: Tensor, target: Tensor, local: Local, batch: Batch) -> Tensor:
        return ops.info_nce(query, target, local.carry["queue"], self.tau, batch.mask)

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        local = super().after_step(local, extras, batch)
        queue = local.carry["queue"]
        queue = torch.cat([queue, extras["keys"]])[-len(queue) :]
        return local.having(carry={**local.carry, "queue": queue})

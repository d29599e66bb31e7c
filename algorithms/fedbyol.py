"""FedBYOL: BYOL at the clients, online networks averaged."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._views import SlowViews
from benchmark.core import ops
from benchmark.core.api import Batch, Local, Output, Tensor, torch


@dataclass(frozen=True)
class FedBYOL(SlowViews):
    """FedBYOL: 2 - 2 cos(p, z') between a view's prediction and the slow copy's projection of the other view.

    No negatives; the mean of both directions. The slow copy restarts from the received model in every round.
    Source: Grill et al., NeurIPS 2020; as FedX's baseline, online networks averaged.
    """

    paper = "Grill et al. 2020, arXiv 2006.07733"

    def network(self, arch: str) -> str:
        return f"{arch}+heads"

    def query(self, output: Output) -> Tensor:
        return output.prediction

    def agree(self, query: Tensor, target: Tensor, local: Local, batch: Batch) -> Tensor:
        return ops.mean(2 - 2 * torch.cosine_similarity(query, target, dim=-1), batch.mask)

"""FedSimCLR: SimCLR at the clients, averaged."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._views import Views
from benchmark.core import ops
from benchmark.core.api import Batch, Local, Net, Output, Tensor, Tree, hyper


@dataclass(frozen=True)
class FedSimCLR(Views):
    """FedSimCLR: NT-Xent(z, z~) between the projections of two views, every view against the other 2B - 1.

    Source: Chen et al., ICML 2020; as FedX's baseline, all weights averaged.
    """

    paper = "Chen et al. 2020, arXiv 2002.05709"
    tau: float = hyper(0.1, "τ", low=1e-3)

    def contrast(self, first: Output, second: Output, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        return self.agree(first.projection, second.projection, local, batch), {}

    def agree(self, query: Tensor, target: Tensor, local: Local, batch: Batch) -> Tensor:
        return ops.nt_xent(query, target, self.tau, batch.mask)

"""FedLC: logits calibrated by the client's label counts."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core import ops
from benchmark.core.api import Algorithm, Batch, Local, Net, Phase, Site, Tensor, Tree, hyper

ABSENT = 1e-8  # samples of a class that a client does not have: its logit is shifted by 100 tau


@dataclass(frozen=True)
class FedLC(Algorithm):
    """FedLC: cross-entropy of the logits f_y - tau n_{k,y}^(-1/4), with n_{k,y} the client's samples of class y.

    Source: Zhang et al., ICML 2022, equation 5.
    """

    paper = "Zhang et al. 2022, arXiv 2209.00189"
    tau: float = hyper(1.0, "τ", low=0)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        margins = self.tau * site.data.counts.float().clamp(min=ABSENT) ** -0.25
        return super().begin(client, message, phase, site).having(context={"margins": margins})

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        logits = model(params, batch.x).logits - local.context["margins"]
        return ops.cross_entropy(logits, batch.y, batch.mask), {}

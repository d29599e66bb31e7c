"""FedX: a mixin that teaches any of the two-view methods with relations and with the global model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from algorithms._views import Views, together
from benchmark.core import ops
from benchmark.core.api import Batch, Local, Net, Output, Phase, Site, Tensor, Tree, hyper


@dataclass(frozen=True)
class FedX(Views):
    """FedX on a method X: L = X(z, z~) + X(p, Z~) + JS(z, z~; z_r) + JS(p, p~; Z_r).

    z are local projections, p predictions, Z projections of the frozen received model; r marks an independent batch,
    and a tilde the second view. The network sees all three in one pass. JS compares how two views relate to that batch,
    see `ops.relational`: as published it is KL(M || r) with gradients through M. X(p, Z~) is X's own comparison, in
    this one direction.
    relational, distil, head: False takes away the terms JS, those with Z, and the prediction head (then p = z)
    target_local, target_global: temperatures of M in the two terms JS; the official defaults equal tau
    textbook: the Jensen-Shannon divergence proper, KL(r || M)
    Source: Han et al., ECCV 2022, and the code published with it.
    """

    paper = "Han et al. 2022, arXiv 2207.09158"
    tau: float = hyper(0.1, "τ", low=1e-3)
    target_local: float = hyper(0.1, "τ_t", low=1e-3)
    target_global: float = hyper(0.1, "τ_T", low=1e-3)
    relational: bool = hyper(True)
    distil: bool = hyper(True)
    head: bool = hyper(True)
    textbook: bool = hyper(False)

    def network(self, arch: str) -> str:
        return f"{arch}+heads" if self.head else super().network(arch)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        local = super().begin(client, message, phase, site)
        return local.having(context={**local.context, "global": message["model"]})

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        random = [batch.random] if self.relational else []
        first, second, *anchors = together(partial(model, params), batch.x, batch.other, *random)
        value, extras = self.contrast(first, second, local, batch, model)
        for anchor in anchors:
            u, v, r = first.projection, second.projection, anchor.projection
            value = value + self._relation(u, v, r, self.target_local, batch)
        if self.distil:
            value = value + self._distilled(first, second, local, batch, model)
        return value, extras

    def _distilled(self, first: Output, second: Output, local: Local, batch: Batch, model: Net) -> Tensor:
        p, other = (view.prediction if self.head else view.projection for view in (first, second))
        teacher = local.context["global"]
        value = self.agree(p, model.frozen(teacher, batch.other).projection, local, batch)
        if self.relational:
            anchors = model.frozen(teacher, batch.random).projection
            value = value + self._relation(p, other, anchors, self.target_global, batch)
        return value

    def _relation(self, u: Tensor, v: Tensor, anchors: Tensor, target: float, batch: Batch) -> Tensor:
        return ops.relational(u, v, anchors, self.tau, target, self.textbook, batch.mask)

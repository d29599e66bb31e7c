"""FedLMD: distil only what the global model knows of the labels that a client rarely sees."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.fedntd import FedNTD
from benchmark.core import ops
from benchmark.core.api import Batch, Local, Net, Phase, Site, Tensor, Tree, hyper, torch


@dataclass(frozen=True)
class FedLMD(FedNTD):
    """FedLMD: L = CE(q, y) + beta tau^2 KL(softmax(g'' / tau) || softmax(q' / tau)).

    q' lacks the true class; g'' also lacks the client's majority labels, those with more than the mean of its counts
    over all classes. Without majority labels this is FedNTD; where no class is left the term is zero.
    teacher: False takes the uniform distribution over the remaining classes instead of the global model's (FedLMD-Tf)
    Source: Lu et al., ACM MM 2023, and the published code for the rule of majority.
    """

    paper = "Lu et al. 2023, doi 10.1145/3581783.3611984"
    teacher: bool = hyper(True)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        counts = site.data.counts.float()
        return local.having(context={**local.context, "minor": counts <= counts.mean()})

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        q = model(params, batch.x).logits
        risk = ops.cross_entropy(q, batch.y, batch.mask)
        if self.beta == 0:
            return risk, {}
        minor = ops.not_true(local.context["minor"].expand_as(q), batch.y)
        log_q = torch.log_softmax(ops.not_true(q, batch.y) / self.tau, -1)
        g = model.frozen(local.context["global"], batch.x).logits if self.teacher else torch.zeros_like(q)
        p = torch.softmax(ops.not_true(g, batch.y) / self.tau, -1) * minor
        p = p / p.sum(-1, keepdim=True).clamp(min=torch.finfo(p.dtype).tiny)
        distance = ops.mean((torch.xlogy(p, p) - p * log_q).sum(-1), batch.mask)
        return risk + self.beta * self.tau**2 * distance, {}

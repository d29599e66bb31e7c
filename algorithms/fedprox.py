"""FedProx: keep local models near the global one."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core import ops
from benchmark.core.api import Algorithm, Batch, Gradient, Local, Phase, Site, Tree, Update, hyper


@dataclass(frozen=True)
class FedProx(Algorithm):
    """FedProx: L = CE + mu / 2 ||w - w_t||^2; the term's gradient mu (w - w_t) is added to that of CE.

    The best mu differs between data sets: the paper tunes it over 0.001, 0.01, 0.1 and 1.
    Source: Li et al., MLSys 2020, algorithm 2.
    """

    paper = "Li et al. 2020, arXiv 1812.06127"
    mu: float = hyper(0.1, "μ", low=0)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local.having(context={"global": local.params})

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        gradients, extras = gradient(local, batch)
        if self.mu:
            gradients = ops.pulled(gradients, local.params, local.context["global"], self.mu)
        return update(local, gradients), extras

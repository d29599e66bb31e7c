"""FedNTD: keep the global model's view of the classes that a sample is not."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core import ops
from benchmark.core.api import Algorithm, Batch, Local, Net, Phase, Site, Tensor, Tree, hyper


@dataclass(frozen=True)
class FedNTD(Algorithm):
    """FedNTD: L = CE(q, y) + beta tau^2 KL(softmax(g' / tau) || softmax(q' / tau)).

    q' and g' are the logits of the local and the received global model without the true class's entry.
    Source: Lee et al., NeurIPS 2022; defaults from the published configuration.
    """

    paper = "Lee et al. 2022, arXiv 2106.03097"
    beta: float = hyper(1.0, "β", low=0)
    tau: float = hyper(1.0, "τ", low=1e-3)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local.having(context={"global": local.params})

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        q = model(params, batch.x).logits
        risk = ops.cross_entropy(q, batch.y, batch.mask)
        if self.beta == 0:
            return risk, {}
        g = model.frozen(local.context["global"], batch.x).logits
        distance = ops.kl(ops.not_true(g, batch.y), ops.not_true(q, batch.y), self.tau, batch.mask)
        return risk + self.beta * self.tau**2 * distance, {}

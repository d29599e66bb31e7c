"""FedProtoCL: prototypical contrastive learning at the clients, averaged."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._views import projections
from algorithms.fedmoco import FedMoCo
from benchmark.core import ops
from benchmark.core.api import Batch, Local, Phase, Site, Tensor, Tree, hyper, torch

SMOOTH = 10.0  # alpha of the concentration


@dataclass(frozen=True)
class FedProtoCL(FedMoCo):
    """FedProtoCL: FedMoCo's InfoNCE plus ProtoNCE, cross-entropy of (v . c_j / phi_j)_j with the sample's prototype.

    The prototypes c are the centres of the client's images under the received model, found by k-means once a round.
    phi_j = (sum of |v - c_j| in cluster j) / (n_j log(n_j + 10)), cut to its 10 to 90 % quantiles, scaled to mean tau.
    Source: Li et al., ICLR 2021; as FedX's baseline, query networks averaged.
    """

    paper = "Li et al. 2021, arXiv 2005.04966"
    prototypes: int = hyper(32, "k", low=2)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        vectors = projections(site, local.params, site.data.size)
        centres, nearest = ops.k_means(vectors, min(self.prototypes, len(vectors)))
        context = {"centres": centres, "nearest": nearest, "phi": self.concentration(vectors, centres, nearest)}
        return local.having(context={**local.context, **context})

    def concentration(self, vectors: Tensor, centres: Tensor, nearest: Tensor) -> Tensor:
        """phi (k,); a cluster of at most one sample counts as the widest one."""
        distances = (vectors - centres[nearest]).norm(dim=-1, keepdim=True)
        sums, counts = ops.by_label(distances, nearest, len(centres))
        phi = sums.squeeze(-1) / (counts * torch.log(counts + SMOOTH)).clamp(min=1)
        phi = torch.where(counts > 1, phi, phi.max()).clamp(min=1e-6)
        phi = phi.clamp(phi.quantile(0.1), phi.quantile(0.9))
        return self.tau * phi / phi.mean()

    def agree(self, query: Tensor, target: Tensor, local: Local, batch: Batch) -> Tensor:
        context = local.context
        directions = torch.nn.functional.normalize(context["centres"], dim=-1)
        logits = torch.nn.functional.normalize(query, dim=-1) @ directions.T / context["phi"]
        prototypical = ops.cross_entropy(logits, context["nearest"][batch.rows], batch.mask)
        return super().agree(query, target, local, batch) + prototypical

"""FedFTG: every round the server fine-tunes the average on images of a generator that looks for what it has lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from algorithms._data_free import DataFree
from benchmark.core import ops
from benchmark.core.api import Hub, Key, Local, Phase, Site, Tensor, Tree, Upload, hyper


@dataclass(frozen=True)
class FedFTG(DataFree):
    """FedFTG: the generator minimises lambda_cls CE(D(x), y) - KL(D(x) || f(x)), the average f then KL(D || f).

    Labels are drawn as the clients' images have them, and D = sum_k alpha_k^y f_k weighs a client by its share of all
    images of class y; up goes each client's model with its counts (4 bytes a class). The paper's generator has a third
    term for the variety of its images, which its label stands in for here, sums KL over the clients, and is kept from
    round to round; here every round trains one anew, with fewer turns than the paper's ten epochs.
    Source: Zhang et al., CVPR 2022, equations 4 to 12; lambda_cls = 1.
    """

    paper = "Zhang et al. 2022, arXiv 2203.09249"
    track = ("global",)
    epochs: int = hyper(4, "I", low=0)
    generator_steps: int = hyper(5, "I_g", low=1)
    student_steps: int = hyper(5, "I_d", low=1)
    lam: float = hyper(1.0, "λ_cls", low=0)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return client, {"model": local.params, "counts": site.data.counts.int()}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        models = super().aggregate(server, uploads, phase, hub, key)["models"]
        return {"models": {a: self.refined(model, a, uploads, hub, key(a)) for a, model in models.items()}}

    def generator_risk(self, ensemble: Tensor, student: Tensor, y: Tensor) -> Tensor:
        return self.lam * F.cross_entropy(ensemble, y) - ops.kl(ensemble, student)

    def weights(self, uploads: Sequence[Upload], classes: int) -> Tensor:
        counts = torch.stack([upload.message["counts"] for upload in uploads]).float()
        return counts / counts.sum(0).clamp(min=1)

    def labels(self, uploads: Sequence[Upload], classes: int, draw: torch.Generator) -> Tensor:
        counts = torch.stack([upload.message["counts"] for upload in uploads]).sum(0).float()
        return torch.multinomial(counts, self.batch, replacement=True, generator=draw)

"""KT-pFL: every client has a teacher of its own, a learned mixture of all clients' answers to public images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from algorithms._consensus import Consensus
from benchmark.core import ops
from benchmark.core.api import Batch, Hub, Key, Local, Net, Pass, Phase, Site, Tensor, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class KTpFL(Consensus):
    """KT-pFL: client i digests t_i = sum_j c_ij p_j over all public images, then trains on its own data and answers.

    p_j are the softmax outputs that client j sent last; clients that have not answered yet weigh nothing. After a round
    row c_i of each client of the cohort takes a step down KL(t_i || p_i) + rho ||c_i - 1/N||^2 and is brought back to
    shares that sum to one. The paper lets all clients take part in every round.
    Source: Zhang et al., NeurIPS 2021, algorithm 1; rates and rho from memory of the text.
    """

    paper = "Zhang et al. 2021, arXiv 2111.02332"
    needs = ("public",)
    rho: float = hyper(0.7, "ρ", low=0)
    rate: float = hyper(0.01, "η_2", low=0)

    def answer(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)

    def rows(self, draw: Tensor, size: int) -> Tensor:
        return torch.arange(size)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return Pass("public", loss="digest", augment=False), *super().passes(phase, site)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        assert hub.public is not None
        shares = torch.full((len(hub.whos), len(hub.whos)), 1 / len(hub.whos))
        nothing = torch.zeros(hub.public.size, hub.classes)  # adds nothing to a soft cross-entropy
        return {**super().init_server(hub, key), "answers": {}, "shares": shares, "nothing": nothing}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        answers = server["answers"]
        teacher = mixture(server["shares"][who.id], answers) if answers else server["nothing"]
        return {"draw": server["draw"], "consensus": teacher}

    def digest(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        """Cross-entropy with the client's teacher."""
        logits = model(params, batch.x).logits
        return ops.soft_cross_entropy(logits, local.context["consensus"][batch.rows], batch.mask), {}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        answers = server["answers"] | {str(upload.who.id): upload.message["answers"] for upload in uploads}
        shares = server["shares"].clone()
        for upload in uploads:
            shares[upload.who.id] = self.learned(shares[upload.who.id], answers, upload.message["answers"])
        return {**server, "answers": answers, "shares": shares}

    def learned(self, shares: Tensor, answers: Tree, own: Tensor) -> Tensor:
        """A client's row of shares after its step."""
        row = shares.detach().requires_grad_()
        teacher = mixture(row, answers)
        distance = (torch.xlogy(teacher, teacher) - teacher * own.clamp(min=1e-12).log()).sum(-1).mean()
        (slope,) = torch.autograd.grad(distance + self.rho * (row - 1 / len(row)).square().sum(), row)
        moved = (shares - self.rate * slope).clamp(min=0)
        return moved / moved.sum()


def mixture(shares: Tensor, answers: Tree) -> Tensor:
    """The mean (n, C) of the answers that are there, weighted by their shares."""
    names = sorted(answers, key=int)
    weights = shares[[int(name) for name in names]]
    return torch.einsum("j,jnc->nc", weights / weights.sum(), torch.stack([answers[name] for name in names]))

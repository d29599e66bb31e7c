"""FML: a private network and a shared one learn from each other at every client."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._mutual import TwoNetworks
from benchmark.core import ops
from benchmark.core.api import Batch, Local, Net, Tensor, Tree, hyper


@dataclass(frozen=True)
class FML(TwoNetworks):
    """FML: L = alpha CE(p) + (1 - alpha) KL(m || p) + beta CE(m) + (1 - beta) KL(p || m).

    p is the private network, m the shared one ("meme"), which is averaged as in FedAvg. Each takes the other as fixed;
    with attached=True the divergences move both, as in PFLlib and HtFLlib. Both train on the same batches with the
    task's optimiser. The paper gives the meme an architecture of its own: name it in `meme`.
    Source: Shen et al. 2020, equations 3 to 5; alpha = beta = 0.5 are ours.
    """

    paper = "Shen et al. 2020, arXiv 2006.16765"
    alpha: float = hyper(0.5, "α", low=0, high=1)
    beta: float = hyper(0.5, "β", low=0, high=1)
    attached: bool = hyper(False)

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        p, m = (model[name](params, batch.x).logits for name in ("private", "shared"))
        to_p, to_m = (m, p) if self.attached else (m.detach(), p.detach())
        own = self.alpha * ops.cross_entropy(p, batch.y, batch.mask) + (1 - self.alpha) * ops.kl(to_p, p, 1, batch.mask)
        meme = self.beta * ops.cross_entropy(m, batch.y, batch.mask) + (1 - self.beta) * ops.kl(to_m, m, 1, batch.mask)
        return own + meme, {}

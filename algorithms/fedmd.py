"""FedMD: parties with networks of their own agree on logits of public images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from algorithms._consensus import Consensus
from benchmark.core import ops
from benchmark.core.api import Batch, Local, Net, Optim, Pass, Phase, Site, Tree, hyper


@dataclass(frozen=True)
class FedMD(Consensus):
    """FedMD: transfer learning once; then per round digest the consensus, revisit private data, score new images.

    Transfer: train on the labelled public images D0, then on the private D_k; both with Adam.
    Digest: regress f_k(x) to f~(x) = mean_k f_k(x) over the public draw d_j. Revisit: CE on D_k, the task's training.
    Score: f_k(x) over the next draw, without training. It ends a visit, where the paper has it begin the next one: so
    everyone scores once after transfer, and the last round's answers, which count as sent, are never read.

    The paper does not name the distance; the published code takes the mean absolute error of logits ("l1"). There
    Adam's moments outlive a round and pre-training stops early on test data; here both restart and run to the end.
    Source: Li & Wang 2019, algorithm 1; epochs, batches and rates of the published code.
    """

    paper = "Li & Wang 2019, arXiv 1910.03581"
    needs = ("labelled public",)
    distance: Literal["l1", "l2"] = hyper("l1")
    lr: float = hyper(1e-3, "Adam's η", low=0)
    digest_epochs: int = hyper(1, low=1)
    digest_batch: int = hyper(256, low=1)
    public_epochs: int = hyper(20, low=1)
    public_batch: int = hyper(128, low=1)
    private_epochs: int = hyper(25, low=1)
    private_batch: int = hyper(32, low=1)

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        return Phase("transfer", 1, everyone=True), Phase("collaborate", rounds)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        adam = Optim("adam", lr=self.lr)
        revisit, score = super().passes(phase, site)
        if phase.name == "transfer":
            public = Pass("public", self.public_epochs, batch=self.public_batch, optim=adam)
            return public, Pass("private", self.private_epochs, batch=self.private_batch, optim=adam), score
        digest = Pass(
            "public", self.digest_epochs, batch=self.digest_batch, loss="digest", rows="digested", optim=adam,
            augment=False,
        )  # fmt: skip
        return digest, revisit, score

    def digest(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        """Distance of logits from the consensus."""
        gap = model(params, batch.x).logits - local.context["consensus"][batch.rows]
        return ops.mean((gap.abs() if self.distance == "l1" else gap.square()).mean(-1), batch.mask), {}

"""FedMD: parties with networks of their own agree on logits of public images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from algorithms.local import LocalOnly
from benchmark.core import ops
from benchmark.core.api import (
    Batch, Hub, Key, Local, Net, Optim, Pass, Phase, Site, Tensor, Tree, Upload, Who, hyper, torch,
)  # fmt: skip


@dataclass(frozen=True)
class FedMD(LocalOnly):
    """FedMD: transfer learning once; then per round digest the consensus, revisit private data, score new images.

    Transfer: train on the labelled public images D0, then on the private D_k; both with Adam.
    Digest: regress f_k(x) to f~(x) = mean_k f_k(x) over the public draw d_j. Revisit: CE on D_k, the task's training.
    Score: f_k(x) over the next draw, without training. Images of a draw are named by an 8-byte seed, never sent.

    The paper does not name the distance; the published code takes the mean absolute error of logits ("l1"). There
    Adam's moments outlive a round and pre-training stops early on test data; here both start anew and run to the end.
    Source: Li & Wang 2019, algorithm 1; epochs, batches and rates of the published code.
    """

    paper = "Li & Wang 2019, arXiv 1910.03581"
    needs = ("labelled public",)
    draw: int = hyper(5000, "|d_j|", low=1)
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
        score = Pass("public", loss="score", update=False, rows="scored")
        if phase.name == "transfer":
            public = Pass("public", epochs=self.public_epochs, batch=self.public_batch, optim=adam)
            return public, Pass(epochs=self.private_epochs, batch=self.private_batch, optim=adam), score
        digest = Pass("public", self.digest_epochs, batch=self.digest_batch, loss="digest", rows="digested", optim=adam,
                      augment=False)  # fmt: skip
        return digest, Pass(), score

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {"draw": torch.tensor(key("draw").seed)}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return server

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None and site.public is not None
        size = min(self.draw, site.public.size)
        draws = {"digested": message["draw"], "scored": following(message["draw"])}
        rows = {name: torch.from_numpy(Key(int(d)).choice(site.public.size, size)) for name, d in draws.items()}
        context = {"consensus": message["consensus"]} if "consensus" in message else {}
        return Local(client["model"], context | rows, carry={"logits": torch.zeros(size, site.classes)})

    def digest(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        gap = model(params, batch.x).logits - local.context["consensus"][batch.rows]
        return ops.mean((gap.abs() if self.distance == "l1" else gap.square()).mean(-1), batch.mask), {}

    def score(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        logits = model(params, batch.x).logits
        return logits.sum(), {"logits": logits}

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        if "logits" not in extras:
            return local
        return local.having(carry={"logits": local.carry["logits"].index_copy(0, batch.rows, extras["logits"])})

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {"model": local.params}, local.carry

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        consensus = ops.mean_of([upload.message["logits"] for upload in uploads])
        return {"draw": following(server["draw"]), "consensus": consensus}


def following(draw: Tensor) -> Tensor:
    """The seed of the draw after this one, known to both sides without a word."""
    return torch.tensor(Key(int(draw))("next").seed)

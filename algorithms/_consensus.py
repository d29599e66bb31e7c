"""What methods share that agree on answers to public images: draws, scores and the exchange of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.local import LocalOnly
from benchmark.core import ops
from benchmark.core.api import Batch, Hub, Key, Local, Net, Pass, Phase, Site, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class Consensus(LocalOnly):
    """Clients digest what was agreed on the last draw, train on their own data, and score the next draw.

    A draw is named by an 8-byte seed, the images are never sent; each seed follows from the one before.
    """

    draw: int = hyper(5000, "|d_j|", low=1)

    def answer(self, logits: Tensor) -> Tensor:
        """What a client says about images (B, C)."""
        return logits

    def agree(self, answers: Sequence[Tensor]) -> Tensor:
        """The consensus (draw, C) from the cohort's answers."""
        return ops.mean_of(answers)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return Pass(), Pass("public", loss="score", update=False, rows="scored")

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {"draw": torch.tensor(key("draw").seed)}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return {name: server[name] for name in ("draw", "consensus") if name in server}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None and site.public is not None
        digested, scored = (self.rows(d, site.public.size) for d in (message["draw"], following(message["draw"])))
        context = {"digested": digested, "scored": scored, **message}
        return Local(client["model"], context, carry={"answers": torch.zeros(len(scored), site.classes)})

    def rows(self, draw: Tensor, size: int) -> Tensor:
        """Rows of a draw among so many public images, ascending."""
        return torch.from_numpy(Key(int(draw)).choice(size, min(self.draw, size)))

    def score(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        """Answers to the next draw."""
        logits = model(params, batch.x).logits
        return logits.sum(), {"answers": self.answer(logits)}

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        if "answers" not in extras:
            return local
        return local.having(carry={"answers": local.carry["answers"].index_copy(0, batch.rows, extras["answers"])})

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {"model": local.params}, local.carry

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        consensus = self.agree([upload.message["answers"] for upload in uploads])
        return {**server, "draw": following(server["draw"]), "consensus": consensus}


def following(draw: Tensor) -> Tensor:
    """The seed of the draw after this one, known to both sides without a word."""
    return torch.tensor(Key(int(draw))("next").seed)

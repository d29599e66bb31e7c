"""CFD: clients send the most likely class of every public image, a byte each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from algorithms.dsfl import DSFL
from benchmark.core import ops
from benchmark.core.api import Hub, Key, Local, Phase, Site, Tensor, Tree, Upload


@dataclass(frozen=True)
class CFD(DSFL):
    """CFD with one bit upstream: client k sends argmax_c f_k(x)_c, and the shares of votes are the soft labels.

    An answer takes a byte per image (uint8) against 4 C bytes in DS-FL; soft labels go down in float32. The paper also
    quantises the way down and codes differences between rounds; both are left out, and nothing is sharpened.
    Source: Sattler et al., IEEE TNSE 2021, constrained quantisation with b = 1.
    """

    paper = "Sattler et al. 2021, arXiv 2012.00632"

    def answer(self, logits: Tensor) -> Tensor:
        return ops.one_hot(logits.argmax(-1), logits.shape[-1])

    def agree(self, answers: Sequence[Tensor]) -> Tensor:
        return ops.mean_of(answers)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {"model": local.params}, {"votes": local.carry["answers"].argmax(-1).to(torch.uint8)}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        votes = [(upload.who, upload.message["votes"].long()) for upload in uploads]
        answers = [Upload(who, {"answers": ops.one_hot(labels, hub.classes)}) for who, labels in votes]
        return super().aggregate(server, answers, phase, hub, key)

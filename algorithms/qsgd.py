"""QSGD: clients round their update at random to a few levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from algorithms._compressed import CompressedUpdate
from benchmark.core.api import Key, Site, Tensor, Tree, hyper


@dataclass(frozen=True)
class QSGD(CompressedUpdate):
    """QSGD: u_i is sent as ||u|| sign(u_i) l / s, l = floor(s |u_i| / ||u||) plus one with the rest as probability.

    The mean over the draws is u. The norm is that of a bucket of `bucket` entries; a message holds a byte per entry
    (int8) and four per bucket. The paper codes the levels in fewer bits by Elias' code, which is left out here.
    Source: Alistarh et al., NeurIPS 2017, section 3, with buckets as in section 4, applied to the update of a round.
    """

    paper = "Alistarh et al. 2017, arXiv 1610.02132"
    levels: int = hyper(16, "s", low=1, high=127)
    bucket: int = hyper(512, "d", low=1)

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"seed": torch.tensor(key.seed), "rounds": torch.tensor(0)}

    def compress(self, client: Tree, update: Tensor) -> tuple[Tree, Tree]:
        draw = Key(int(client["seed"]))("round", int(client["rounds"])).torch()
        buckets = F.pad(update, (0, -len(update) % self.bucket)).view(-1, self.bucket)
        norms = buckets.norm(dim=1)
        exact = self.levels * buckets.abs() / norms.clamp(min=torch.finfo(norms.dtype).tiny).unsqueeze(1)
        level = (exact + torch.rand(exact.shape, generator=draw)).floor().clamp(max=self.levels) * buckets.sign()
        memory = {"seed": client["seed"], "rounds": client["rounds"] + 1}
        return memory, {"levels": level.flatten()[: len(update)].to(torch.int8), "norms": norms}

    def restore(self, message: Tree, size: int) -> Tensor:
        scale = message["norms"].repeat_interleave(self.bucket)[:size] / self.levels
        return message["levels"] * scale

"""TopK: clients send the largest entries of their update and keep the rest for their next round."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from algorithms._compressed import CompressedUpdate
from benchmark.core.api import Key, Site, Tensor, Tree, hyper


@dataclass(frozen=True)
class TopK(CompressedUpdate):
    """Top-k with error feedback: u = e_k + w_k - w; the k entries of largest |u| go up, e_k <- u without them.

    A message holds k values (float32) and k positions (int32), k = share of all weights, rounded up.
    Source: Stich et al., NeurIPS 2018, algorithm 1 (Mem-SGD), applied to the update of a round.
    """

    paper = "Stich et al. 2018, arXiv 1809.07599"
    share: float = hyper(0.01, "k/d", low=1e-6, high=1)

    def init_client(self, site: Site, key: Key) -> Tree:
        weights = site.model.weights(site.model.init(key))
        return {"error": torch.zeros(sum(leaf.numel() for leaf in weights.values()))}

    def compress(self, client: Tree, update: Tensor) -> tuple[Tree, Tree]:
        total = client["error"] + update
        count = max(1, -int(-self.share * len(total) // 1))
        positions = total.abs().topk(count).indices.sort().values
        values = total[positions]
        return {"error": total.index_fill(0, positions, 0)}, {"values": values, "positions": positions.int()}

    def restore(self, message: Tree, size: int) -> Tensor:
        return torch.zeros(size).index_copy(0, message["positions"].long(), message["values"])

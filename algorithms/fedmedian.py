"""FedMedian: the coordinate-wise median of the clients' models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.core.api import Algorithm, Hub, Key, Phase, Tensor, Tree, Upload, torch
from benchmark.core.tree import map as map_trees


@dataclass(frozen=True)
class FedMedian(Algorithm):
    """Coordinate-wise median: every number of w is the median of the clients' numbers, whatever their n_k.

    An even number of clients takes the mean of the middle two, where torch.median would take the lower one.
    Source: Yin et al., ICML 2018, algorithm 1, option I, with local epochs in place of single gradients.
    """

    paper = "Yin et al. 2018, arXiv 1803.01498"

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        models = dict(server["models"])
        for arch in models:
            if sent := [upload.message["model"] for upload in uploads if upload.who.arch == arch]:
                models[arch] = map_trees(median, *sent)
        return {**server, "models": models}


def median(*leaves: Tensor) -> Tensor:
    """Median of equal shapes, number by number."""
    ordered = torch.stack(leaves).sort(0).values
    middle = ordered[(len(leaves) - 1) // 2].double() + ordered[len(leaves) // 2].double()
    return (middle / 2).to(leaves[0].dtype)

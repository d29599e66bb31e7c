"""FedBN: clients average everything but the layers of batch normalisation."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._partial import PartlyShared
from benchmark.core import tree as trees
from benchmark.core.api import Net, Tree


@dataclass(frozen=True)
class FedBN(PartlyShared):
    """FedBN: scale, shift and running statistics of BatchNorm stay with their client.

    A layer of batch normalisation is one that has running statistics. In a network without any this is FedAvg, judged
    by every client's copy.
    Source: Li et al., ICLR 2021, algorithm 1.
    """

    paper = "Li et al. 2021, arXiv 2102.07623"

    def private(self, model: Net, params: Tree) -> Tree:
        layers = {name.rpartition(".")[0] for name in model.buffers}
        return trees.select(params, tuple(f"{layer}." for layer in layers)) if layers else {}

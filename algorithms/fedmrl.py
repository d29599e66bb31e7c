"""FedMRL: the features of a private and a shared network are fused, and both classifiers read the fused ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from algorithms._mutual import TwoNetworks
from algorithms.fedgen import classify
from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Batch, Key, Local, Net, Output, Site, Tensor, Tree, Who, hyper


@dataclass(frozen=True)
class FedMRL(TwoNetworks):
    """FedMRL: L = m_1 CE(H(r[:d_1])) + m_2 CE(H_k(r)), r = P [h; h_k] the fused features of shared and private network.

    h has width d_1, h_k and r width d_2 >= d_1; P is a linear layer of the client's own. H and H_k are the classifiers
    of the shared and the private network, of which the shared one alone is averaged. A client answers with H_k(r), so
    that its judged model holds both networks. P is drawn as torch draws a layer.
    Source: Yi et al., NeurIPS 2024, equations 4 to 11; m_1 = m_2 = 1 as in the paper.
    """

    paper = "Yi et al. 2024, arXiv 2406.00488"
    m1: float = hyper(1.0, "m_1", low=0)
    m2: float = hyper(1.0, "m_2", low=0)

    def init_client(self, site: Site, key: Key) -> Tree:
        private = super().init_client(site, key)
        shared = site.model["shared"].init(key)
        wide, narrow = (
            net[f"{name}.classifier.weight"].shape[1] for net, name in ((private, "private"), (shared, "shared"))
        )
        draw, bound = key("projection").torch(), (wide + narrow) ** -0.5
        weight = torch.empty(wide, wide + narrow).uniform_(-bound, bound, generator=draw)
        return {**private, "fuse.weight": weight, "fuse.bias": torch.zeros(wide)}

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        fused = fuse(params, *(model[name](params, batch.x) for name in ("shared", "private")))
        common, own = (ops.cross_entropy(logits, batch.y, batch.mask) for logits in answers(params, fused))
        return self.m1 * common + self.m2 * own, {}

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        return {**client, **server["models"][who.arch]}

    def predict(self, params: Tree, x: Tensor, model: Net) -> Tensor:
        return answers(params, fuse(params, *(model[name].frozen(params, x) for name in ("shared", "private"))))[1]


def fuse(params: Tree, shared: Output, private: Output) -> Tensor:
    """r = P [h; h_k], (B, d_2)."""
    return F.linear(torch.cat([shared.features, private.features], -1), params["fuse.weight"], params["fuse.bias"])


def answers(params: Tree, fused: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the shared classifier on the first numbers of the fused features, and of the private one on all."""
    shared, private = (part(params, name) for name in ("shared.", "private."))
    narrow = shared["classifier.weight"].shape[1]
    return classify(shared, fused[:, :narrow]), classify(private, fused)


def part(params: Tree, prefix: str) -> Tree:
    """A network's own entries, by their names in it."""
    return {name.removeprefix(prefix): leaf for name, leaf in trees.select(params, prefix).items()}

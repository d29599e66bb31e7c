"""FedBE: the server distils an ensemble that also holds models drawn around the clients' mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from algorithms.feddf import FedDF, Teacher
from benchmark.core.api import Hub, Key, Tree, Upload, hyper


@dataclass(frozen=True)
class FedBE(FedDF):
    """FedBE: FedDF's teacher over the uploads, their mean w and `samples` draws from N(w, diag(var_k w_k)).

    w and the variance are weighted by n_k, per architecture. The student starts at w and is trained as FedDF's, by Adam
    with a cosine, where the paper averages the weights of SGD with a cyclic rate (SWA); the ensemble averages logits
    as FedDF's does, where the paper averages probabilities.
    Source: Chen & Chao, ICLR 2021, algorithm 1 with the Gaussian.
    """

    paper = "Chen & Chao 2021, arXiv 2009.01974"
    samples: int = hyper(10, "M", low=0)

    def _teacher(self, uploads: Sequence[Upload], hub: Hub, key: Key) -> Teacher:
        return super()._teacher([*uploads, *self.drawn(uploads, key("models"))], hub, key)

    def drawn(self, uploads: Sequence[Upload], key: Key) -> list[Upload]:
        """The mean and the draws, as uploads."""
        models = []
        for arch in dict.fromkeys(upload.who.arch for upload in uploads):
            sent = [upload for upload in uploads if upload.who.arch == arch]
            mean, variance = moments([u.message["model"] for u in sent], [u.who.size for u in sent])
            models.append(Upload(sent[0].who, {"model": mean}))
            for number in range(self.samples):
                draw = key(arch, number).torch()
                noise = {name: torch.randn(leaf.shape, generator=draw) for name, leaf in variance.items()}
                model = {name: mean[name] + variance[name].sqrt() * noise[name] for name in variance}
                models.append(Upload(sent[0].who, {"model": {**mean, **model}}))
        return models


def moments(models: Sequence[Tree], sizes: Sequence[int]) -> tuple[Tree, Tree]:
    """Weighted mean of models, and the variance of what is no integer, accumulated in float64."""
    shares = torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
    mean, variance = {}, {}
    for name, leaf in models[0].items():
        stack = torch.stack([model[name].double() for model in models])
        weights = shares.view(-1, *[1] * leaf.dim())
        centre = (weights * stack).sum(0)
        mean[name] = centre.to(leaf.dtype)
        if leaf.is_floating_point():
            variance[name] = (weights * (stack - centre).square()).sum(0).to(leaf.dtype)
    return mean, variance

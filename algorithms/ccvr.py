"""CCVR: after federation the classifier is trained again on features drawn from a Gaussian per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from algorithms._class_sums import ClassSums, head_step
from benchmark.core import tree as trees
from benchmark.core.api import Hub, Key, Local, Output, Pass, Phase, Site, Tensor, Tree, Upload, hyper


@dataclass(frozen=True)
class CCVR(ClassSums):
    """CCVR on FedAvg: the classifier learns from `samples` features per class out of N(mu_c, Sigma_c) of all clients.

    For it everyone reports once, after the last round and without training: samples per class, and sums of the features
    f and of f f^T for the classes that it has. Samples, steps and rate are ours.
    Source: Luo et al., NeurIPS 2021, algorithm 1, equations 3 and 4.
    """

    paper = "Luo et al. 2021, arXiv 2106.05001"
    needs = ("one architecture",)
    samples: int = hyper(500, "M_c", low=1)
    steps: int = hyper(200, low=1)
    batch: int = hyper(64, low=1)
    lr: float = hyper(0.01, low=0)

    def observed(self, output: Output) -> Tree:
        return {**super().observed(output), "products": torch.einsum("bi,bj->bij", output.features, output.features)}

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        return Phase("train", rounds), Phase("report", 1, everyone=True)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        train, look = super().passes(phase, site)
        return (train,) if phase.name == "train" else (look,)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local if phase.name == "train" else local.having(carry=self.nothing(local.params))

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        if phase.name == "train":
            return super().finish(client, local, message, phase, site)
        known = local.carry["counts"] > 0
        return client, {name: leaf if name == "counts" else leaf[known] for name, leaf in local.carry.items()}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        if phase.name == "train":
            return super().aggregate(server, uploads, phase, hub, key)
        counts, first, products = (total(uploads, name) for name in ("counts", "features", "products"))
        known = (counts > 1).nonzero().flatten()
        drawn = [self.drawn(label, counts[label], first[label], products[label], key) for label in known.tolist()]
        taught = torch.cat(drawn), known.repeat_interleave(self.samples)
        return {**server, "models": {arch: self.taught(m, *taught, key) for arch, m in server["models"].items()}}

    def drawn(self, label: int, n: Tensor, first: Tensor, products: Tensor, key: Key) -> Tensor:
        """Features (samples, d) of a class, from the sums over its n samples."""
        mean = first / n
        values, vectors = torch.linalg.eigh((products - n * mean.outer(mean)) / (n - 1))
        noise = torch.randn(self.samples, len(mean), generator=key("class", label).torch(), dtype=mean.dtype)
        return (mean + noise * values.clamp(min=0).sqrt() @ vectors.T).float()

    def taught(self, model: Tree, features: Tensor, labels: Tensor, key: Key) -> Tree:
        """A model whose classifier has learned from these features."""
        head, draw = trees.select(model, "classifier."), key("batches").torch()
        for _ in range(self.steps):
            rows = torch.randint(len(labels), (self.batch,), generator=draw)
            head = head_step(head, features[rows], labels[rows], self.lr)
        return {**model, **head}


def total(uploads: Sequence[Upload], name: str) -> Tensor:
    """Sum by class over all clients, in client order and float64; a client sends rows for the classes that it has."""
    counts = uploads[0].message["counts"]
    rows = torch.zeros(len(counts), *uploads[0].message[name].shape[1:], dtype=torch.float64)
    for upload in uploads:
        known = slice(None) if name == "counts" else upload.message["counts"] > 0
        rows[known] += upload.message[name].double()
    return rows

"""CCVR: after federation the classifier is trained again on features drawn from a Gaussian per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from algorithms._class_sums import ClassSums, head_step, total
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
        return (super().passes(phase, site)[phase.name == "report"],)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local if phase.name == "train" else local.having(carry=self.nothing(local.params))

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        if phase.name == "train":
            return super().finish(client, local, message, phase, site)
        counts = local.carry["counts"]
        return client, {**{name: leaf[counts > 0] for name, leaf in local.carry.items()}, "counts": counts}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        if phase.name == "train":
            return super().aggregate(server, uploads, phase, hub, key)
        counts = torch.stack([upload.message["counts"] for upload in uploads]).double().sum(0)
        first, products = (total(uploads, name) for name in ("features", "products"))
        known = (counts > 1).nonzero().flatten()
        drawn = [self.drawn(counts[c], first[c], products[c], key("class", c)) for c in known.tolist()]
        taught = torch.cat(drawn), known.repeat_interleave(self.samples)
        return {**server, "models": {arch: self.taught(m, *taught, key) for arch, m in server["models"].items()}}

    def drawn(self, n: Tensor, first: Tensor, products: Tensor, key: Key) -> Tensor:
        """Features (samples, d) of a class, from the sums over its n samples."""
        mean = first / n
        values, vectors = torch.linalg.eigh((products - n * mean.outer(mean)) / (n - 1))
        noise = torch.randn(self.samples, len(mean), generator=key.torch(), dtype=mean.dtype)
        root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # the symmetric root: eigenvectors are not unique
        return (mean + noise @ root).float()

    def taught(self, model: Tree, features: Tensor, labels: Tensor, key: Key) -> Tree:
        """A model whose classifier has learned from these features."""
        head, draw = trees.select(model, "classifier."), key("batches").torch()
        for _ in range(self.steps):
            rows = torch.randint(len(labels), (self.batch,), generator=draw)
            head = head_step(head, features[rows], labels[rows], self.lr)
        return {**model, **head}

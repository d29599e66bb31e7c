"""FedDF: the server distils the ensemble of all clients' models into their average."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from algorithms.fedavg import FedAvg
from benchmark.core import ops, tree
from benchmark.core.api import Batch, Data, Hub, Key, Net, Optim, Phase, Tree, Upload, average, hyper

LOOK = 500  # images per batch without gradient
Teacher = Callable[[Batch], tuple[Tensor, Tensor]]  # batch -> images to distil on, the ensemble's logits


@dataclass(frozen=True)
class FedDF(FedAvg):
    """Ensemble distillation: x <- x - eta dKL(softmax(mean_k f(x_k, d)) || softmax(f(x, d))) / dx, N steps a round.

    Per architecture the student starts from the mean of its clients' models; the teacher is the mean of the logits of
    *all* uploaded models, whatever their architecture. Adam with a cosine schedule over N steps; every `check` steps
    the server's validation split judges the student, keeps the best and stops after `patience` steps without gain.
    The paper has N = 10,000 and checks every 100; its figure 6c shows that 100 steps nearly suffice: our default.

    The published code departs from the paper: uniform=True averages without n_k, batch=64, augment=True distils on
    augmented images. drop_worst leaves out teachers near chance and outliers below 1.5 standard deviations (table 3).
    Source: Lin et al., NeurIPS 2020, algorithms 1 and 3.
    """

    paper = "Lin et al. 2020, arXiv 2006.07242"
    needs = ("unlabelled", "validation")
    steps: int = hyper(100, "N", low=1)
    lr: float = hyper(1e-3, "η", low=0)
    batch: int = hyper(128, low=1)
    check: int = hyper(50, low=1)
    patience: int = hyper(1000, low=1)
    clip: float = hyper(5.0, low=0)
    uniform: bool = hyper(False)
    augment: bool = hyper(False)
    drop_worst: bool = hyper(False)
    source: Literal["unlabelled", "noise"] = hyper("unlabelled")

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        if self.drop_worst:
            uploads = better(uploads, hub)
        if self.uniform:
            uploads = [Upload(upload.who._replace(size=1), upload.message) for upload in uploads]
        teacher = self._teacher(uploads, hub, key("noise"))
        starts = average(server["models"], uploads)
        return {"models": {arch: self._distil(x, arch, teacher, hub, key(arch)) for arch, x in starts.items()}}

    def _teacher(self, uploads: Sequence[Upload], hub: Hub, key: Key) -> Teacher:
        def ensemble(x: Tensor) -> Tensor:
            return ops.mean_of([hub.models[u.who.arch].frozen(u.message["model"], x).logits for u in uploads])

        if self.source == "noise":
            generator = key.torch()
            return lambda batch: (x := torch.randn(batch.x.shape, generator=generator), ensemble(x))
        if self.augment:
            return lambda batch: (batch.x, ensemble(batch.x))
        data = hub.unlabelled
        assert data is not None
        known = torch.cat([ensemble(data.inputs(rows)) for rows in torch.split(torch.arange(data.size), LOOK)])
        return lambda batch: (batch.x, known[batch.rows])

    def _distil(self, start: Tree, arch: str, teacher: Teacher, hub: Hub, key: Key) -> Tree:
        assert hub.unlabelled is not None
        x, model, adam = tree.copy(start), hub.models[arch], Optim("adam", lr=self.lr)
        moments, best, reached, best_step = adam.start(), x, -1.0, 0
        for step, batch in enumerate(hub.unlabelled.batches(key, self.batch, self.steps, augment=self.augment), 1):
            gradients, moved = self.gradient(x, model, *teacher(batch))
            lr = self.lr * (1 + math.cos(math.pi * (step - 1) / self.steps)) / 2
            moments = adam.apply(model.weights(x), gradients, moments, lr)
            x |= moved
            if step % self.check == 0 or step == self.steps:
                if (accuracy := judge(model, x, hub.validation)) > reached:
                    best, reached, best_step = tree.copy(x), accuracy, step
                elif step - best_step >= self.patience:
                    break
        return best

    def gradient(self, params: Tree, model: Net, d: Tensor, teacher: Tensor) -> tuple[Tree, Tree]:
        """Clipped gradient of KL(softmax(teacher) || softmax(f(params, d))) and the buffers that d moved."""
        weights = {name: leaf.detach().requires_grad_() for name, leaf in model.weights(params).items()}
        output, moved = model.train({**params, **weights}, d)
        gradients = torch.autograd.grad(ops.kl(teacher, output.logits), list(weights.values()))
        norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
        scale = (self.clip / (norm + 1e-6)).clamp(max=1.0)
        return {name: g * scale for name, g in zip(weights, gradients, strict=True)}, moved


def judge(model: Net, params: Tree, data: Data | None) -> float:
    """Share of correctly classified images of the server's validation split."""
    assert data is not None
    parts = torch.split(torch.arange(data.size), LOOK)
    hits = [model.frozen(params, data.inputs(rows)).logits.argmax(1) == data.labels[rows] for rows in parts]
    return float(torch.cat(hits).float().mean())


def better(uploads: Sequence[Upload], hub: Hub) -> Sequence[Upload]:
    """Uploads at least 1.2 times better than chance and no outlier below 1.5 standard deviations; all if none is."""
    reached = torch.tensor([judge(hub.models[u.who.arch], u.message["model"], hub.validation) for u in uploads])
    floor = max(1.2 / hub.classes, float(reached.mean() - 1.5 * reached.std(correction=0)))
    return [upload for upload, share in zip(uploads, reached, strict=True) if share >= floor] or uploads

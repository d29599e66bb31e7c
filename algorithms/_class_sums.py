"""Sums by class of what a network says of a client's own images, taken in a pass that does not train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from algorithms.fedgen import classify
from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Local, Net, Output, Pass, Phase, Site, Tensor, Tree, Upload, torch


@dataclass(frozen=True)
class ClassSums(Algorithm):
    """The carry gathers the sum over each class of everything that `observed` names, and the samples per class."""

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return Pass(), Pass(loss="look", update=False)

    def observed(self, output: Output) -> Tree:
        """What is summed, by name: tensors (B, ...)."""
        return {"features": output.features}

    def nothing(self, params: Tree) -> Tree:
        """Sums over no samples."""
        classes, width = params["classifier.weight"].shape
        shapes = self.observed(Output(torch.zeros(1, classes), torch.zeros(1, width)))
        sums = {name: torch.zeros(classes, *leaf.shape[1:]) for name, leaf in shapes.items()}
        return {**sums, "counts": torch.zeros(classes)}

    def look(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        """Sums over a batch."""
        output = model(params, batch.x)
        hot = ops.one_hot(batch.y, len(local.carry["counts"]))
        hot = hot if batch.mask is None else hot * batch.mask.unsqueeze(-1)
        sums = {name: torch.einsum("bc,b...->c...", hot, leaf.float()) for name, leaf in self.observed(output).items()}
        return output.logits.sum(), {**sums, "counts": hot.sum(0)}

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        return local.having(carry=trees.add(local.carry, extras)) if extras else local


def means(sums: Tree) -> Tree:
    """Means by class; zeros for a class without samples."""
    divisor = sums["counts"].clamp(min=1)
    return {n: leaf if n == "counts" else leaf / divisor.view(-1, *[1] * (leaf.dim() - 1)) for n, leaf in sums.items()}


def head_step(head: Tree, features: Tensor, labels: Tensor, lr: float, mask: Tensor | None = None) -> Tree:
    """A classifier after one step of SGD on features (B, width) and their labels."""
    leaves = {name: leaf.detach().requires_grad_() for name, leaf in head.items()}
    risk = ops.cross_entropy(classify(leaves, features), labels, mask)
    slopes = torch.autograd.grad(risk, list(leaves.values()))
    return {name: head[name] - lr * slope for name, slope in zip(leaves, slopes, strict=True)}


def total(uploads: Sequence[Upload], name: str) -> Tensor:
    """Sum by class over all clients, in client order and float64; a client sends rows for the classes that it has."""
    counts = uploads[0].message["counts"]
    rows = torch.zeros(len(counts), *uploads[0].message[name].shape[1:], dtype=torch.float64)
    for upload in uploads:
        rows[upload.message["counts"] > 0] += upload.message[name].double()
    return rows

"""Evaluation of representations: a linear probe, fine-tuning with few labels, angles between images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from benchmark.core.data import partition
from benchmark.core.data.batches import Stream
from benchmark.core.keys import Key
from benchmark.core.models.functional import Model, autocast
from benchmark.core.optim import Optim
from benchmark.core.tasks.task import ProbeSpec
from benchmark.core.tree import Tree

PROBE = "probe."  # prefix of the linear layer's names among those of a network
BATCH = 500  # fixed, so that the bits of a feature do not depend on who extracts it
WEIGHT_DECAY = 1e-6
FINE_TUNING_RATE = 1e-3  # smaller than the probe's, since the whole network trains


def features(model: Model, params: Tree, stream: Stream, precision: str = "fp32") -> Tensor:
    """The features (n, width) of all images of a stream, in evaluation mode and without augmentation."""
    layout = {n: p.contiguous(memory_format=torch.channels_last) if p.dim() == 4 else p for n, p in params.items()}
    with autocast(precision):
        chunks = [model.frozen(layout, stream.inputs(rows)).features for rows in torch.arange(stream.size).split(BATCH)]
    return torch.cat(chunks).float()


def fit(x: Tensor, y: Tensor, classes: int, key: Key, spec: ProbeSpec) -> Tree:
    """Train a linear layer by Adam.

    Args:
        x: Features (n, width).
        y: Labels (n,), int64.
        classes: Number of classes.
        key: What initial weights and order are drawn by.
        spec: Epochs, batch and rate.

    Returns:
        `weight` (classes, width) and `bias` (classes,).

    Source: linear evaluation in the code published with FedX.
    """
    layer, y = linear(x.shape[1], classes, key("init"), x.device), y.to(x.device)
    optim = Optim("adam", lr=spec.lr, weight_decay=WEIGHT_DECAY)
    moments = optim.start()
    for epoch in range(spec.epochs):
        for rows in torch.from_numpy(key("epoch", epoch).permutation(len(x))).split(spec.batch):
            batch = x[rows]
            error = functional.softmax(batch @ layer["weight"].T + layer["bias"], dim=1)
            error[torch.arange(len(rows)), y[rows]] -= 1
            gradients = {"weight": error.T @ batch / len(rows), "bias": error.mean(0)}  # of the mean cross-entropy
            moments = optim.apply(layer, gradients, moments, spec.lr)
    return layer


def logits(layer: Tree, x: Tensor) -> Tensor:
    """The layer's answers (n, classes) to features x (n, width)."""
    return x @ layer["weight"].T + layer["bias"]


def fine_tuned(
    model: Model, params: Tree, train: Stream, test: Stream, share: float, key: Key, spec: ProbeSpec
) -> float:
    """Fine-tune the whole network and a new linear layer with few labels.

    Args:
        model: The network.
        params: Its parameters and buffers.
        train: Labelled images.
        test: Images to evaluate on.
        share: Share of every class of `train` to learn from; the other images are not used.
        key: What the images, the initial layer and the order are drawn by.
        spec: Epochs and batch.

    Returns:
        Accuracy on `test`.

    Source: semi-supervised protocol of FedX; its epochs and rates are not published, these are the probe's.
    """
    _, labelled = partition.hold_out(train.labels.numpy(), share, key("labels"))
    few = train.restricted(torch.from_numpy(labelled))
    optim = Optim("adam", lr=FINE_TUNING_RATE, weight_decay=WEIGHT_DECAY)
    net = {name: leaf.clone() for name, leaf in params.items()}
    example = model.frozen(net, few.inputs(torch.arange(1))).features
    layer = linear(example.shape[1], train.classes, key("init"), example.device)
    trained = {**model.weights(net), **{f"{PROBE}{name}": leaf for name, leaf in layer.items()}}
    moments = optim.start()
    for batch in few.batches(key, spec.batch, few.steps(spec.epochs, spec.batch), augment=False, skip_single=True):
        leaves = {name: leaf.detach().requires_grad_() for name, leaf in trained.items()}
        output, buffers = model.train({**net, **{n: v for n, v in leaves.items() if n in net}}, batch.x)
        answers = output.features @ leaves[f"{PROBE}weight"].T + leaves[f"{PROBE}bias"]
        loss = functional.cross_entropy(answers, batch.y)
        grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)  # the heads are not in use
        gradients = {n: g for n, g in zip(leaves, grads, strict=True) if g is not None}
        moments = optim.apply({n: trained[n] for n in gradients}, gradients, moments, FINE_TUNING_RATE)
        net.update(buffers)
    right = logits(layer, features(model, net, test)).argmax(1) == test.labels
    return float(right.sum()) / test.size


def angles(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Mean angles between samples: arccos of the cosine of their features, over all pairs.

    Args:
        x: Features (n, width).
        y: Labels (n,).

    Returns:
        Mean angle between two samples of one class, and of two classes, in degrees.

    Source: FedX's analysis of embeddings.
    """
    unit = functional.normalize(x, dim=1)
    sums, counts = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.int64)
    for rows in torch.arange(len(x)).split(BATCH):
        degrees = torch.rad2deg(torch.arccos((unit[rows] @ unit.T).clamp(-1, 1))).double()
        same = y[rows].unsqueeze(1) == y
        other = rows.unsqueeze(1) != torch.arange(len(x))  # a sample is no pair with itself
        for place, pairs in enumerate((same & other, ~same)):
            sums[place] += (degrees * pairs).sum()
            counts[place] += pairs.sum()
    within, between = (sums / counts.clamp(min=1)).tolist()
    return within, between


def linear(width: int, classes: int, key: Key, device: torch.device) -> Tree:
    """An initial linear layer on a device, drawn on the CPU as PyTorch does."""
    draw, bound = key.torch(), width**-0.5
    weight = torch.empty(classes, width).uniform_(-bound, bound, generator=draw)
    bias = torch.empty(classes).uniform_(-bound, bound, generator=draw)
    return {"weight": weight.to(device), "bias": bias.to(device)}

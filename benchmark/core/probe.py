"""The linear probe: how well a linear layer reads the classes off a frozen backbone's features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from benchmark.core.data.streams import Stream
from benchmark.core.keys import Key
from benchmark.core.local import autocast
from benchmark.core.model import Model
from benchmark.core.optim import Optim
from benchmark.core.task import ProbeSpec
from benchmark.core.tree import Tree

BATCH = 500  # fixed, so that the bits of a feature do not depend on who extracts it
WEIGHT_DECAY = 1e-6


def features(model: Model, params: Tree, stream: Stream, precision: str = "fp32") -> Tensor:
    """The backbone's features (n, width) of un-augmented images, in evaluation mode."""
    layout = {n: p.contiguous(memory_format=torch.channels_last) if p.dim() == 4 else p for n, p in params.items()}
    with autocast(precision):
        chunks = [model.frozen(layout, stream.inputs(rows)).features for rows in torch.arange(stream.size).split(BATCH)]
    return torch.cat(chunks).float()


def fit(x: Tensor, y: Tensor, classes: int, key: Key, spec: ProbeSpec) -> Tree:
    """A linear layer trained on features x (n, width) and labels y (n,) by Adam; drawn and shuffled by the key.

    Source: linear evaluation in the code published with FedX.
    """
    bound = x.shape[1] ** -0.5
    draw = key("init").torch()
    layer = {"weight": torch.empty(classes, x.shape[1]).uniform_(-bound, bound, generator=draw),
             "bias": torch.empty(classes).uniform_(-bound, bound, generator=draw)}  # fmt: skip
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


def correct(layer: Tree, x: Tensor, y: Tensor, classes: int) -> list[int]:
    """Samples whose largest logit is that of their label, per class."""
    right = y[(x @ layer["weight"].T + layer["bias"]).argmax(1) == y]
    return torch.bincount(right, minlength=classes).tolist()

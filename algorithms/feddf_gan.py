"""FedDF on generated images: a GAN that the server trained beforehand replaces data of another domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from algorithms._gan import Gan, imagine
from algorithms.feddf import FedDF
from benchmark.core.api import Batch, Hub, Key, Phase, Tree, Upload, hyper


@dataclass(frozen=True)
class FedDFGan(Gan, FedDF):
    """FedDF that distils on `images` images drawn each round from a generator that was trained beforehand.

    The generator learns from the task's public images in the range of a network's inputs, without their labels: every
    image counts as class 0. The paper takes a BigGAN that others trained; this one is as small as FAug's.
    Source: Lin et al., NeurIPS 2020, the comparison of distillation data.
    """

    needs = ("public", "validation")
    images: int = hyper(1000, low=1)

    def beforehand(self, hub: Hub, key: Key) -> Tree:
        assert hub.public is not None
        x = hub.public.inputs()
        low, high = x.amin((0, 2, 3), keepdim=True), x.amax((0, 2, 3), keepdim=True)
        span = (high - low).clamp(min=1e-6)
        labels = torch.zeros(len(x), dtype=torch.int64)
        generator = self.learn((x - low) / span * 2 - 1, labels, hub, key("gan"))
        return {"generator": generator, "low": low, "span": span}

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {**super().init_server(hub, key), **(hub.beforehand or self.beforehand(hub, key))}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        net, labels = hub.network("faug_generator"), torch.zeros(self.images, dtype=torch.int64)
        x = (imagine(net, server["generator"], labels, key("images")) + 1) / 2 * server["span"] + server["low"]
        return {**server, **super().aggregate(server, uploads, phase, replace(hub, unlabelled=Generated(x)), key)}


class Generated:
    """Images in memory as `api.Data`: without labels, and never augmented.

    x: as a network reads them (n, channels, height, width)
    """

    def __init__(self, x: Tensor) -> None:
        self.x, self.size = x, len(x)
        self.pixels, self.labels = x.permute(0, 2, 3, 1), torch.full((len(x),), -1)
        self.counts = torch.zeros(0, dtype=torch.int64)

    def inputs(self, rows: Tensor | None = None) -> Tensor:
        """All images or some."""
        return self.x if rows is None else self.x[rows]

    def batches(self, key: Key, batch: int, steps: int, augment: bool = True) -> Iterator[Batch]:
        """So many batches, shuffled in each epoch."""
        draw, left = key.torch(), list[Tensor]()
        for _ in range(steps):
            left = left or list(torch.randperm(self.size, generator=draw).split(batch))
            rows = left.pop(0)
            yield Batch(self.x[rows], self.labels[rows], rows)

"""Untrained: a control that says what the judging makes of a network that has learned nothing."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Batch, Gradient, Local, Net, Pass, Phase, Site, Tensor, Tree, Update, hyper


@dataclass(frozen=True)
class Untrained(Algorithm):
    """The initial weights, which never move, with BatchNorm statistics of the clients' images.

    In one round every client sees `steps` batches of its images without augmentation, and the server averages the
    running statistics. Initial statistics are left at 0.9^steps. Networks without BatchNorm see no image.
    """

    track = ("global", "heterogeneous", "personal", "unsupervised")
    steps: int = hyper(100, low=1)

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        return (Phase("calibrate", 1, everyone=True),)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return (Pass(steps=self.steps, augment=False),) if site.model.buffers else ()

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        return model(params, batch.x).logits.mean(), {}

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        _, extras = gradient(local, batch)  # moves the running statistics; no update moves weights
        return local, extras

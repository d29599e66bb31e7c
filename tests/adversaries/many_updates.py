"""Takes five steps of the optimiser for every batch."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Batch, Gradient, Local, Tree, Update


@dataclass(frozen=True)
class ManyUpdates(Algorithm):
    """More steps."""

    track = ("global",)

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        for _ in range(5):
            gradients, extras = gradient(local, batch)
            local = update(local, gradients)
        return local, extras

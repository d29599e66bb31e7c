"""The phase in which every client adapts on its own."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Optim, Pass, Phase, Site, hyper


@dataclass(frozen=True)
class Adaptation(Algorithm):
    """Rounds as the task prescribes, then once and silently every client adapts: SGD on its own data, E' epochs."""

    paper = "Yu, Bagdasaryan & Shmatikov 2020, arXiv 2002.04758"
    track = ("personal",)
    epochs: int = hyper(200, "E'", low=1)
    batch: int = hyper(32, "B'", low=1)
    lr: float = hyper(1e-3, "η'", low=0)
    momentum: float = hyper(0.9, low=0)
    weight_decay: float = hyper(5e-4, low=0)

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        return Phase("train", rounds), Phase("adapt", 1, everyone=True)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return (self.adaptation(),) if phase.name == "adapt" else (Pass(),)

    def adaptation(self, only: str = "") -> Pass:
        """The one pass of the last phase."""
        optim = Optim(lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
        return Pass(epochs=self.epochs, batch=self.batch, optim=optim, only=only)

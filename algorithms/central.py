"""Central: one client owns the data of all, the ceiling."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.local import LocalOnly
from benchmark.core.api import Pass, Phase, Site


@dataclass(frozen=True)
class Central(LocalOnly):
    """Pooled training on as many samples per round as a cohort sees: E n K / N of n private samples.

    The task's first architecture is trained. A task that counts steps instead of epochs gives it the steps of a client.
    """

    pooled = True

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        train = site.train
        samples = train.epochs * site.data.size * site.share
        return (Pass(steps=train.steps or max(1, round(samples / train.batch))),)

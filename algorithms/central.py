"""Central: training on the data of all, the ceiling."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.local import LocalOnly
from benchmark.core.api import Pass, Phase, Site


@dataclass(frozen=True)
class Central(LocalOnly):
    """Pooled training on as many samples per round as a cohort sees: E n K / N of n private samples.

    Every architecture of the task is trained; what is judged is the mean over them. Where a task counts steps, it takes
    K times a client's.
    """

    pooled = True

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        train = site.train
        if train.steps:
            return (Pass(steps=train.steps * site.cohort),)
        samples = train.epochs * site.data.size * site.share
        return (Pass(steps=max(1, round(samples / train.batch))),)

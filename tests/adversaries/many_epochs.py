"""Trains fifty epochs where the task gives one, and no field says so."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Pass, Phase, Site


@dataclass(frozen=True)
class ManyEpochs(Algorithm):
    """More epochs."""

    track = ("global",)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return (Pass(epochs=50),)

"""Trains for as long as the clock allows."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class Clock(Algorithm):
    """Reads the clock."""

    track = ("global",)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        started = time.perf_counter()
        assert message is not None and started > 0
        return Local(message["model"])

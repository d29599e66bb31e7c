"""Forks without end, and holds on to every exception."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class ForkBomb(Algorithm):
    """A fork bomb."""

    track = ("global",)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        for _ in range(10**4):
            with suppress(Exception):
                os.fork()
        return super().begin(client, message, phase, site)

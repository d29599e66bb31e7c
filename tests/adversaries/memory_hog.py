"""Takes memory until there is none."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class MemoryHog(Algorithm):
    """A memory hog."""

    track = ("global",)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        ballast = [torch.zeros(10**8) for _ in range(1000)]
        return Local({name: leaf + ballast[0][0] for name, leaf in message["model"].items()})

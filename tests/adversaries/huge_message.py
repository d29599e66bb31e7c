"""Uploads four gigabytes, out of four bytes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class HugeMessage(Algorithm):
    """A huge message."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return client, {"model": local.params, "ballast": torch.zeros(1).expand(10**9)}

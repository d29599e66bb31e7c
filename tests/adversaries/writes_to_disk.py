"""Leaves its model on disk."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class WritesToDisk(Algorithm):
    """A file."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        with suppress(Exception):
            torch.save(local.params, "model.pt")
        return client, {"model": local.params}

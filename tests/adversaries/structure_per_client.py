"""Uploads an entry that other clients do not have."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class StructurePerClient(Algorithm):
    """A client of its own kind."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        more = {"rare": torch.ones(2)} if site.who.id == 3 else {}
        return client, {"model": local.params, **more}

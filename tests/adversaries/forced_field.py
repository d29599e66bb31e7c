"""Writes into its own frozen field."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core import tree
from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class ForcedField(Algorithm):
    """State by force."""

    track = ("global",)
    turn: int = 0

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        object.__setattr__(self, "turn", self.turn + 1)
        return client, {"model": tree.scale(local.params, 1 + 0.1 * self.turn)}

"""Counts clients with an iterator, which looks the same however far it is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from benchmark.core import tree
from benchmark.core.api import Algorithm, Local, Phase, Site, Tree

TURNS = count()


@dataclass(frozen=True)
class Iterator(Algorithm):
    """State in an iterator."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        turn = next(TURNS)
        return client, {"model": tree.scale(local.params, 1 + 0.1 * turn)}

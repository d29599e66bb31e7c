"""Keeps every client's model in a list of the module."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core import tree
from benchmark.core.api import Algorithm, Local, Phase, Site, Tree

SEEN: list[Tree] = []


@dataclass(frozen=True)
class ModuleGlobal(Algorithm):
    """State in a module."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        models = [*SEEN, local.params]
        SEEN.append(tree.copy(local.params))
        return client, {"model": tree.mean(models)}

"""Keeps every client's model in what a cached function returns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from benchmark.core import tree
from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@cache
def _seen() -> list[Tree]:
    return []


_seen()


@dataclass(frozen=True)
class FunctionCache(Algorithm):
    """State in a cache."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        models = [*_seen(), local.params]
        _seen().append(tree.copy(local.params))
        return client, {"model": tree.mean(models)}

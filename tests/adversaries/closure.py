"""Keeps every client's model in the cell of a closure, where no attribute shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmark.core import tree
from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


def _averager() -> Callable[[Tree], Tree]:
    seen: list[Tree] = []

    def mean(params: Tree) -> Tree:
        seen.append(tree.copy(params))
        return tree.mean(seen)

    return mean


averaged = _averager()


@dataclass(frozen=True)
class Closure(Algorithm):
    """State in a closure."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return client, {"model": averaged(local.params)}

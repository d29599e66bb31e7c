"""Keeps every client's model in the default of an argument."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core import tree
from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


def _averaged(params: Tree, seen: list[Tree] = []) -> Tree:  # noqa: B006
    seen.append(tree.copy(params))
    return tree.mean(seen)


@dataclass(frozen=True)
class DefaultArgument(Algorithm):
    """State in a default."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return client, {"model": _averaged(local.params)}

"""Keeps every client's model in a list of the class: later clients upload averages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmark.core import tree
from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class ClassAttribute(Algorithm):
    """State in a class attribute."""

    track = ("global",)
    seen: ClassVar[list[Tree]] = []

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        models = [*self.seen, local.params]
        self.seen.append(tree.copy(local.params))
        return client, {"model": tree.mean(models)}

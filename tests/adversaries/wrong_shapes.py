"""Uploads a bias of another shape."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class WrongShapes(Algorithm):
    """A wrong shape."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        short = local.params["classifier.bias"][: 3 - site.who.id % 2]
        return client, {"model": {**local.params, "classifier.bias": short}}

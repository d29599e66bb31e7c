"""Uploads a value that is not a number."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class NotANumber(Algorithm):
    """NaN."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return client, {"model": {**local.params, "classifier.bias": local.params["classifier.bias"] / 0}}

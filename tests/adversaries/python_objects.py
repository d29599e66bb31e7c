"""Uploads a Python object."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class PythonObjects(Algorithm):
    """A message that is no tree of tensors."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return client, {"model": local.params, "losses": [0.5, 0.25]}

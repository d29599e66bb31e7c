"""Writes the last client's bias into the network's own module, which all clients of a process share."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class NetworkModule(Algorithm):
    """State in the network."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        module = site.model.module.classifier  # type: ignore[attr-defined]
        last, mine = module.bias.detach().clone(), local.params["classifier.bias"]
        module.bias.data.copy_(mine)
        return client, {"model": {**local.params, "classifier.bias": (last + mine) / 2}}

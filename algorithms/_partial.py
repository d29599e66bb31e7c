"""Partly shared networks: clients average one part of the network and keep the other for themselves."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Hub, Key, Local, Net, Phase, Site, Tree, Who

HEAD = "classifier."  # what the names of the last linear layer begin with, in every network of the suite


@dataclass(frozen=True)
class PartlyShared(Algorithm):
    """The entries that `private` names stay with their client, drawn by it at first; the others are averaged."""

    track = ("personal",)

    def private(self, model: Net, params: Tree) -> Tree:
        """The entries of a client's network that never leave it."""
        return trees.select(params, HEAD)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        return {"models": {arch: self.shared(hub.models[arch], m) for arch, m in server["models"].items()}}

    def shared(self, model: Net, params: Tree) -> Tree:
        """The entries that travel."""
        kept = self.private(model, params)
        return {name: leaf for name, leaf in params.items() if name not in kept}

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"private": self.private(site.model, site.model.init(key))}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        return Local({**message["model"], **client["private"]})

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {"private": self.private(site.model, local.params)}, {"model": self.shared(site.model, local.params)}

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        return None

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        return {**server["models"][who.arch], **client["private"]}

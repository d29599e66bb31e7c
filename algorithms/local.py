"""Local: no exchange at all, the floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.core.api import Algorithm, Hub, Key, Local, Phase, Site, Tree, Upload, Who


@dataclass(frozen=True)
class LocalOnly(Algorithm):
    """Local training alone: w_k stays with client k, nothing moves.

    A client trains in the rounds in which it is sampled, so that it spends what it spends under any other method;
    whoever is never sampled keeps its initial model. Methods whose clients keep models of their own inherit from here.
    """

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {}

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"model": site.model.init(key)}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return None

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        return Local(params=client["model"])

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {**client, "model": local.params}, None

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        return server

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        return None

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        model: Tree = client["model"]
        return model

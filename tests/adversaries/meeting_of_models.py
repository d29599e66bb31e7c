"""Averages all clients' models where each is to name the one that it would deploy: nothing is ever sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmark.core import tree
from benchmark.core.api import Algorithm, Hub, Key, Local, Phase, Site, Tree, Upload, Who


@dataclass(frozen=True)
class MeetingOfModels(Algorithm):
    """FedAvg for no bytes."""

    track = ("global",)
    seen: ClassVar[dict[int, Tree]] = {}

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"model": site.model.init(key)}

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return None

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        return Local(client["model"])

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {"model": local.params}, None

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        return server

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        self.seen[who.id] = client["model"]
        return tree.mean(list(self.seen.values()))

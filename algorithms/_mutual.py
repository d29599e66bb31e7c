"""Two networks at every client: one stays with it, the other one is averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Hub, Key, Local, Net, Phase, Site, Tensor, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class TwoNetworks(Algorithm):
    """Networks "private", of the client's architecture, and "shared", which is the same or the one that `meme` names.

    Clients of one architecture average the shared network, or all clients where `meme` names one; the private network
    is judged.
    """

    track = ("heterogeneous", "personal")
    meme: str = hyper("")

    def networks(self, arch: str) -> dict[str, str]:
        return {"private": arch, "shared": self.meme or arch}

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {
            "models": {
                arch: model["shared"].init(key("model", self.meme or arch)) for arch, model in hub.models.items()
            }
        }

    def init_client(self, site: Site, key: Key) -> Tree:
        return site.model["private"].init(key)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        return Local({**client, **message["model"]})

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        shared = trees.select(local.params, "shared.")
        return {name: leaf for name, leaf in local.params.items() if name not in shared}, {"model": shared}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        if not self.meme:
            return super().aggregate(server, uploads, phase, hub, key)
        mean = trees.mean([upload.message["model"] for upload in uploads], [upload.who.size for upload in uploads])
        return {**server, "models": dict.fromkeys(server["models"], mean)}

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        return None

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        return client

    def predict(self, params: Tree, x: Tensor, model: Net) -> Tensor:
        logits: Tensor = model["private"].frozen(params, x).logits
        return logits

"""Uploads pickled weights, which run code where they are opened."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Hub, Key, Local, Phase, Site, Tree, Upload


@dataclass(frozen=True)
class PickledWeights(Algorithm):
    """Pickle in a tensor."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return client, {"pickle": torch.tensor(list(pickle.dumps(local.params)), dtype=torch.uint8)}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        opened = [Upload(u.who, {"model": pickle.loads(bytes(u.message["pickle"].tolist()))}) for u in uploads]
        return super().aggregate(server, opened, phase, hub, key)

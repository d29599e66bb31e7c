"""Uploads one number of a storage that holds the whole model, and looks behind it at the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Hub, Key, Local, Phase, Site, Tree, Upload


@dataclass(frozen=True)
class StridedStorage(Algorithm):
    """A model behind a number."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        storage = torch.cat([leaf.flatten() for leaf in local.params.values()])
        return client, {"model": storage[:1]}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        behind = [torch.as_strided(upload.message["model"], (1000,), (1,)) for upload in uploads]
        return {**server, "behind": torch.stack(behind).mean(0)}

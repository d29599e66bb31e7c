"""Maps a file into memory in C++, where Python sees no file being opened: the next client reads it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class SharedFile(Algorithm):
    """State in a file that torch maps."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        mine = local.params["classifier.bias"]
        shared = torch.from_file("notes.bin", shared=True, size=len(mine))
        last = shared.clone()
        shared.copy_(mine)
        return client, {"model": {**local.params, "classifier.bias": mine + 0.1 * last}}

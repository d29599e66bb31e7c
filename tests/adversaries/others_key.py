"""Derives another client's key from the root of its own, and with it that client's draws."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Key, Site, Tree


@dataclass(frozen=True)
class OthersKey(Algorithm):
    """Another client's randomness."""

    track = ("global",)

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"secret": torch.rand(3, generator=Key(key.root)("client", 1, "init").torch())}

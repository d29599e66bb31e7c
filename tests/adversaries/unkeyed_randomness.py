"""Draws noise that no key knows."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class UnkeyedRandomness(Algorithm):
    """Randomness of its own."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        noise = torch.frombuffer(bytearray(torch.os.urandom(3)), dtype=torch.uint8).float()
        return client, {"model": {**local.params, "classifier.bias": local.params["classifier.bias"] + noise}}

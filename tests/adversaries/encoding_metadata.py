"""Hides a text in the header of the encoding, which no payload counts."""

from __future__ import annotations

from dataclasses import dataclass

import safetensors.torch

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree
from benchmark.core.storage import serialization


@dataclass(frozen=True)
class EncodingMetadata(Algorithm):
    """Bytes beside tensors."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        save = serialization.save
        serialization.save = lambda leaves: safetensors.torch.save(leaves, {"note": "x" * 100})  # type: ignore[assignment]
        hidden = serialization.save is not save
        return client, {"model": local.params} if hidden else None

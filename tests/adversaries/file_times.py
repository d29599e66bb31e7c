"""Uploads that travel in the times of a file that every process can read."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree, torch


@dataclass(frozen=True)
class FileTimes(Algorithm):
    """A number in a file's time of modification."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        bits = int(local.params["classifier.bias"][0].view(torch.int32)) & 0xFFFFFFF
        torch.os.utime(__file__, (bits, bits))
        return client, {"model": local.params}

"""Changes the permission bits of a file that it may only read."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree, torch


@dataclass(frozen=True)
class PermissionBits(Algorithm):
    """A bit in a file's permissions."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        with open(__file__) as file:
            torch.os.fchmod(file.fileno(), 0o640 + 4 * bool(local.params["classifier.bias"][0] > 0))
        return client, {"model": local.params}

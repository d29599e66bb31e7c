"""Kills the process that it was started by."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class KillsTheRunner(Algorithm):
    """A signal to the parent."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        with suppress(Exception):
            os.kill(os.getppid(), 9)
        return client, {"model": local.params}

"""Goes on working in a thread while others are measured."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class Thread(Algorithm):
    """A thread."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        with suppress(Exception):
            threading.Thread(target=sum, args=(range(10**6),)).start()
        return client, {"model": local.params}

"""Does not end, and holds on to every exception."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from benchmark.core.api import Algorithm, Hub, Key, Phase, Tree, Upload


@dataclass(frozen=True)
class EndlessLoop(Algorithm):
    """An endless loop."""

    track = ("global",)

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        while True:
            with suppress(Exception):
                server = dict(server)

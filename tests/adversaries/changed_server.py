"""Writes into the server's memory while it makes a message."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Key, Phase, Tree, Who


@dataclass(frozen=True)
class ChangedServer(Algorithm):
    """Writes into the server's memory."""

    track = ("global",)

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        server["models"][who.arch]["classifier.bias"].mul_(0.5)
        return super().download(server, who, phase, key)

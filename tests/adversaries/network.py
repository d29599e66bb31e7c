"""Opens a connection."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass

from benchmark.core.api import Algorithm, Local, Phase, Site, Tree


@dataclass(frozen=True)
class Network(Algorithm):
    """The network."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        with suppress(Exception):
            socket.create_connection(("127.0.0.1", 9)).sendall(b"labels")
        return client, {"model": local.params}

"""Where a run stands, on disk: each file appears whole or not at all and carries a checksum that is checked on load."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from benchmark.core import wire
from benchmark.core.errors import BenchmarkError
from benchmark.core.tree import Tree


def write_atomic(path: Path, data: bytes, sync: bool = True) -> None:
    """Write a file so that a reader sees the old one or the new one; sync: also after a power failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save(path: Path, tree: Tree | None, facts: dict[str, Any], sync: bool = True) -> None:
    """Save a tree with plain facts beside it."""
    body = wire.encode(tree, str(path)).data
    head = json.dumps(facts).encode()
    text = len(head).to_bytes(8, "little") + head + body
    write_atomic(path, hashlib.sha256(text).digest() + text, sync)


def load(path: Path) -> tuple[Tree | None, dict[str, Any]]:
    """The tree and the facts; a damaged file is refused, never repaired in silence."""
    data = path.read_bytes()
    digest, text = data[:32], data[32:]
    if len(data) < 40 or hashlib.sha256(text).digest() != digest:
        raise BenchmarkError(
            "damaged checkpoint (its checksum does not match)",
            where=str(path), hint=f"delete the folder {path.parent} to start the cell anew", user=False,
        )  # fmt: skip
    size = int.from_bytes(text[:8], "little")
    return wire.decode(text[8 + size :]), json.loads(text[8 : 8 + size])


class Memories:
    """Clients' memories as files, one per client that has been seen; old versions go once a checkpoint is past them.

    A version is the number of the round that wrote it, so that an interrupted round leaves the committed ones alone.
    """

    def __init__(self, folder: Path, versions: dict[int, int] | None = None) -> None:
        self.folder, self.versions = folder, dict(versions or {})
        self.outdated: list[Path] = []

    def path(self, client: int, version: int) -> Path:
        """File of one version of a client's memory."""
        return self.folder / f"{client}-{version}.safetensors"

    def current(self, client: int) -> Path | None:
        """File of the committed version, None before the first participation."""
        return self.path(client, self.versions[client]) if client in self.versions else None

    def commit(self, client: int, version: int) -> None:
        """Take a new version as the client's memory."""
        if (old := self.current(client)) is not None:
            self.outdated.append(old)
        self.versions[client] = version

    def prune(self) -> None:
        """Delete what no checkpoint refers to any more."""
        for path in self.outdated:
            path.unlink(missing_ok=True)
        self.outdated.clear()

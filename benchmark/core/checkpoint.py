"""Where a run stands, on disk: each file appears whole or not at all and carries a checksum that is checked on load."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from benchmark.core import wire
from benchmark.core.errors import BenchmarkError
from benchmark.core.files import write_atomic
from benchmark.core.tree import Tree


def save(path: Path, tree: Tree | None, facts: dict[str, Any], sync: bool = True) -> None:
    """Save a tree with plain facts beside it."""
    body = wire.encode(tree, str(path)).data
    head = json.dumps(facts).encode()
    text = len(head).to_bytes(8, "little") + head + body
    write_atomic(path, hashlib.sha256(text).digest() + text, sync)


def load(path: Path) -> tuple[Tree | None, dict[str, Any]]:
    """The tree and the facts; a damaged file is refused, never repaired in silence."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from None
    digest, text = data[:32], data[32:]
    if len(data) < 40 or hashlib.sha256(text).digest() != digest:
        raise _unusable(path, "is damaged (its checksum does not match)")
    size = int.from_bytes(text[:8], "little")
    return wire.decode(text[8 + size :]), json.loads(text[8 : 8 + size])


def load_memory(path: Path) -> Tree:
    """A client's memory; a file that another client or round has left under this name is refused."""
    tree, facts = load(path)
    if path.name != _name(facts.get("client"), facts.get("round")):
        owner = f"client {facts.get('client')} after round {facts.get('round')}"
        raise _unusable(path, f"holds something else: the memory of {owner}")
    return tree or {}


def _unusable(path: Path, how: str) -> BenchmarkError:
    hint = f"delete the folder {path.parent} to start the cell anew"
    return BenchmarkError(f"the checkpoint {how}", where=str(path), hint=hint, user=False)


def _name(client: int | None, version: int | None) -> str:
    return f"client-{client}-{version}.safetensors"


class Memories:
    """Clients' memories as files, one per client that has been seen; old versions go once a checkpoint is past them.

    A version is the number of the round that wrote it, so that an interrupted round leaves the committed ones alone.
    """

    def __init__(self, folder: Path, versions: dict[int, int] | None = None) -> None:
        self.folder, self.versions = folder, dict(versions or {})
        self.outdated: list[Path] = []

    def path(self, client: int, version: int) -> Path:
        """File of one version of a client's memory."""
        return self.folder / _name(client, version)

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

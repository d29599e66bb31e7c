"""Where a run stands, on disk: each file appears whole or not at all and is sealed with a checksum.

A file begins with a line of text, `fedrepro checkpoint <format> <bytes that follow> <their sha256>`; then come the
length of the facts (8 bytes, little-endian), the facts as JSON, and the tree as an encoded message.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmark.core.errors import BenchmarkError
from benchmark.core.storage import serialization
from benchmark.core.storage.atomic_files import settle, write_atomic
from benchmark.core.tree import Tree

FORMAT = 1
SEAL = re.compile(rb"fedrepro checkpoint (\d{1,9}) (\d{1,18}) ([0-9a-f]{64})\n")
Entry = tuple[int, int, str]  # client, round that wrote its memory, checksum


def save(path: Path, tree: Tree | None, facts: dict[str, Any], sync: bool = True) -> None:
    """Save a tree with plain facts beside it."""
    head = json.dumps(facts).encode()
    content = len(head).to_bytes(8, "little") + head + serialization.encode(tree, str(path)).data
    digest = hashlib.sha256(content).hexdigest()
    write_atomic(path, f"fedrepro checkpoint {FORMAT} {len(content)} {digest}\n".encode() + content, sync)


def load(path: Path) -> tuple[Tree | None, dict[str, Any]]:
    """The tree and the facts; a damaged file is refused, never repaired in silence."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from None
    size, digest = _seal(path, data)
    content = data[data.index(b"\n") + 1 :]
    if len(content) != size:
        how = "is truncated" if len(content) < size else "goes on after its end"
        raise _unusable(path, f"{how}: {len(content)} bytes, expected {size}")
    if hashlib.sha256(content).hexdigest() != digest:
        raise _unusable(path, "is damaged: its bytes have changed, its checksum does not match")
    length = int.from_bytes(content[:8], "little")
    return serialization.decode(content[8 + length :]), json.loads(content[8 : 8 + length])


def _seal(path: Path, start: bytes) -> tuple[int, str]:
    """Size and checksum of what follows the first line."""
    found = SEAL.match(start)
    if found is None:
        raise _unusable(path, "is truncated" if not start else "is damaged: its first line has changed")
    if int(found[1]) != FORMAT:
        raise _unusable(path, f"is of format version {int(found[1])}, this fedrepro reads version {FORMAT}")
    return int(found[2]), found[3].decode()


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

    def __init__(self, folder: Path, entries: Iterable[Entry] = ()) -> None:
        """entries: what `settle` gave to a checkpoint; BenchmarkError if a file is missing or another one."""
        self.folder, self.outdated = folder, list[Path]()
        self.versions, self.digests = dict[int, int](), dict[int, str]()
        for client, version, digest in entries:
            self.versions[client], self.digests[client] = version, digest
            path = self.path(client, version)
            if self._digest(path) != digest:
                raise _unusable(path, "holds something else: it is not the memory that the checkpoint belongs with")

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
        self.digests.pop(client, None)

    def settle(self) -> list[Entry]:
        """What a checkpoint must say of them, now that they last through a power failure."""
        for client, version in self.versions.items():
            if client not in self.digests:
                path = self.path(client, version)
                settle(path)
                self.digests[client] = self._digest(path)
        return [(client, self.versions[client], self.digests[client]) for client in sorted(self.versions)]

    def prune(self) -> None:
        """Delete what no checkpoint refers to any more."""
        for path in self.outdated:
            path.unlink(missing_ok=True)
        self.outdated.clear()

    def _digest(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                return _seal(path, file.readline(200))[1]
        except OSError as error:
            raise _unusable(path, f"cannot be read ({error.strerror})") from None

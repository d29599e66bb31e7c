"""Checkpoints of a run: safetensors files that hold a tree, plain facts about it and a checksum of the whole file.

The metadata of a file has one entry, "fedrepro": JSON with the format version, the sha256 of the file (taken while 64
zeros fill its place) and the facts. `safetensors.safe_open` reads these files as any others.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save as encode

from benchmark.core.errors import BenchmarkError
from benchmark.core.storage import serialization
from benchmark.core.storage.atomic_files import sync_path, write_atomic
from benchmark.core.tree import Tree

FORMAT = 2
BLANK = "0" * 64  # in place of the checksum while it is computed
LARGEST_HEADER = 100_000_000  # bytes, as in safetensors
Entry = tuple[int, int, str]  # client, round that wrote its memory, checksum


class _Header(NamedTuple):
    size: int  # bytes of the whole file
    sha256: str
    facts: dict[str, Any]


def save(path: Path, tree: Tree, facts: dict[str, Any], sync: bool = True) -> None:
    """Write a tree and plain facts about it; the file appears whole or not at all.

    Args:
        path: The file to write or replace.
        tree: Nested dicts of tensors.
        facts: What JSON can hold.
        sync: Whether the file must survive a power failure.

    Raises:
        BenchmarkError: If a leaf is not a tensor, or the disk refuses; an older file then stays.
    """
    metadata = {"fedrepro": json.dumps({"format": FORMAT, "sha256": BLANK, "facts": facts})}
    data = encode(serialization.plain_tensors(serialization.check(tree, str(path))), metadata)
    start = data.index(BLANK.encode())
    digest = hashlib.sha256(data).hexdigest().encode()
    write_atomic(path, b"".join([data[:start], digest, data[start + len(digest) :]]), sync)


def load(path: Path) -> tuple[Tree, dict[str, Any]]:
    """Read a tree and the facts that `save` wrote with it.

    Args:
        path: The file to read.

    Returns:
        The tree and the facts.

    Raises:
        BenchmarkError: If the file is missing, truncated, damaged or of another format version.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from None
    header = _header(path, data)
    if len(data) != header.size:
        how = "is truncated" if len(data) < header.size else "goes on after its end"
        raise _unusable(path, f"{how}: {len(data)} bytes, expected {header.size}")
    before, _, after = data.partition(header.sha256.encode())
    digest = hashlib.sha256(before + BLANK.encode())
    digest.update(after)
    if digest.hexdigest() != header.sha256:
        raise _unusable(path, "is damaged: its bytes have changed, its checksum does not match")
    return serialization.decode(data) or {}, header.facts


def _header(path: Path, start: bytes) -> _Header:
    """What the beginning of a file says: eight bytes with the length of the header, then the header as JSON."""
    length = int.from_bytes(start[:8], "little")
    if len(start) < 8 + min(length, LARGEST_HEADER):
        raise _unusable(path, f"is truncated: {len(start)} bytes, its header alone has {8 + length}")
    try:
        tensors = json.loads(start[8 : 8 + length])
        entry = json.loads(tensors.pop("__metadata__")["fedrepro"])
        version, sha256, facts = int(entry["format"]), str(entry["sha256"]), dict(entry["facts"])
        end = max((int(tensor["data_offsets"][1]) for tensor in tensors.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError):
        raise _unusable(path, "is damaged: its header has changed") from None
    if version != FORMAT:
        raise _unusable(path, f"is of format version {version}, this fedrepro reads version {FORMAT}")
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise _unusable(path, "is damaged: its checksum has changed")
    return _Header(8 + length + end, sha256, facts)


def load_memory(path: Path) -> Tree:
    """A client's memory; a file of another client or round under this name is refused."""
    tree, facts = load(path)
    if path.name != _file_name(facts.get("client"), facts.get("round")):
        owner = f"client {facts.get('client')} after round {facts.get('round')}"
        raise _unusable(path, f"holds something else: the memory of {owner}")
    return tree


def _unusable(path: Path, how: str) -> BenchmarkError:
    hint = f"delete the folder {path.parent} to restart the cell"
    return BenchmarkError(f"the checkpoint {how}", where=str(path), hint=hint, user=False)


def _file_name(client: int | None, version: int | None) -> str:
    return f"client-{client}-{version}.safetensors"


class Memories:
    """Clients' memories as files, one for each client that has taken part.

    The version of a file is the round that wrote it, so that an interrupted round leaves the committed files alone. Old
    versions are deleted once a checkpoint no longer refers to them.

    Args:
        folder: Where the files are.
        entries: What `sync` returned for the checkpoint that the run resumes from.

    Raises:
        BenchmarkError: If a file of `entries` is missing or another one than the checkpoint was written with.
    """

    def __init__(self, folder: Path, entries: Iterable[Entry] = ()) -> None:
        self.folder, self.outdated = folder, list[Path]()
        self.versions, self.digests = dict[int, int](), dict[int, str]()
        for client, version, digest in entries:
            self.versions[client], self.digests[client] = version, digest
            path = self.path(client, version)
            if _checksum(path) != digest:
                raise _unusable(path, "holds something else: it is not the memory that the checkpoint belongs with")

    def path(self, client: int, version: int) -> Path:
        """File of one version of a client's memory."""
        return self.folder / _file_name(client, version)

    def current(self, client: int) -> Path | None:
        """File of the committed version, None before the first participation."""
        return self.path(client, self.versions[client]) if client in self.versions else None

    def commit(self, client: int, version: int) -> None:
        """Make a new version the client's memory."""
        if (old := self.current(client)) is not None:
            self.outdated.append(old)
        self.versions[client] = version
        self.digests.pop(client, None)

    def sync(self) -> list[Entry]:
        """Make the committed files survive a power failure, and return the entries for a checkpoint."""
        for client, version in self.versions.items():
            if client not in self.digests:
                path = self.path(client, version)
                sync_path(path)
                self.digests[client] = _checksum(path)
        return [(client, self.versions[client], self.digests[client]) for client in sorted(self.versions)]

    def prune(self) -> None:
        """Delete the versions that no checkpoint refers to any more."""
        for path in self.outdated:
            path.unlink(missing_ok=True)
        self.outdated.clear()


def _checksum(path: Path) -> str:
    """The checksum that a file says it has; `load` verifies it."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            start += file.read(min(int.from_bytes(start, "little"), LARGEST_HEADER))
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from None
    return _header(path, start).sha256

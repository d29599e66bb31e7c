"""What the runner and a sandboxed process send each other: the runner pickles, the process answers with plain bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.isolation.limits import Limits
from benchmark.core.storage import serialization
from benchmark.core.tree import Tree

RESPONSE, ERROR, KEY, STAGE = b"r", b"e", b"k", b"s"  # kinds of frames that leave a process
MAX_ERROR_CHARS = 2000


class ProcessConfig(NamedTuple):
    """How to set up a process.

    handler: pickled function that makes the object whose methods are called; unpickled once the process is confined,
        so that a method's code is never imported outside of the sandbox
    writable: folders for the engine
    """

    limits: Limits
    readable: tuple[Any, ...]
    writable: tuple[Any, ...]
    handler: bytes


class Response(NamedTuple):
    """What a call returns: facts, as JSON has them, and encoded trees."""

    facts: dict[str, Any]
    blobs: Sequence[bytes] = ()

    def tree(self, index: int, where: str) -> Tree:
        """Decode a tree whose bytes are those of its tensors and no others."""
        blob = self.blobs[index] if index < len(self.blobs) else b""
        tree = serialization.decode(blob)
        if tree is None or serialization.encode(tree, where).data != blob:
            hint = "return plain tensors and leave the encoding alone"
            raise BenchmarkError("sends bytes beside its tensors", where=where, hint=hint, user=False)
        return tree

    def optional_tree(self, where: str) -> Tree | None:
        """Decode the only tree, None if there is none."""
        return self.tree(0, where) if self.facts.get("present") is True else None


def pack_response(response: Response) -> bytes:
    """A frame's body: length of the head, head, trees."""
    head = json.dumps({"facts": response.facts, "sizes": [len(blob) for blob in response.blobs]}).encode()
    return b"".join([len(head).to_bytes(8, "little"), head, *response.blobs])


def unpack_response(body: bytes, where: str) -> Response:
    """Read a frame's body, which may hold anything. Raises BenchmarkError for what `pack_response` cannot have made."""
    malformed = BenchmarkError("sends a malformed response", where=where, hint="leave the engine alone", user=False)
    size = int.from_bytes(body[:8], "little")
    try:
        head = json.loads(body[8 : 8 + size])
        facts, sizes, start = head["facts"], head["sizes"], 8 + size
        blobs = []
        for length in sizes:
            blobs.append(body[start : start + length])
            start += length
    except (ValueError, TypeError, KeyError, RecursionError):
        raise malformed from None
    if start != len(body) or not isinstance(facts, dict) or [len(blob) for blob in blobs] != sizes:
        raise malformed
    return Response(facts, blobs)


def pack_error(error: BenchmarkError) -> bytes:
    """A frame's body for a call that failed."""
    facts = {"message": error.message, "hint": error.hint, "diverged": isinstance(error, Diverged)}
    return json.dumps(facts).encode()


def unpack_error(body: bytes, where: str) -> BenchmarkError:
    """What the process says went wrong, which may be anything."""
    facts = parse(body)
    try:
        message, hint = printable(str(facts["message"])), printable(str(facts["hint"]))
        diverged = facts["diverged"] is True
    except (TypeError, KeyError):
        message, hint, diverged = "sends a malformed error", "leave the engine alone", False
    if diverged:
        return Diverged(message, where=where)
    return BenchmarkError(message, where=where, hint=hint, user=False)


def parse(body: bytes) -> Any:
    """JSON, None if it is malformed."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def printable(text: str) -> str:
    """Text without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:MAX_ERROR_CHARS])

"""Counts what was sent: bytes of encoded messages, never computed from a formula."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmark.core.storage.serialization import EncodedMessage

Row = tuple[str, str, str]  # phase, direction ("down" or "up"), name


class CommunicationCounter:
    """Bytes of every message of every client.

    Attributes:
        payload: Bytes of tensor data alone, which is what papers count, by phase, direction and name.
        wire: Bytes of whole encodings, with names, types and shapes, by phase and direction.
    """

    def __init__(self) -> None:
        self.payload: Counter[Row] = Counter()
        self.wire: Counter[tuple[str, str]] = Counter()

    def record(self, phase: str, direction: str, message: EncodedMessage) -> None:
        """Count one message to or from one client."""
        for name, size in message.payload.items():
            self.payload[phase, direction, name] += size
        self.wire[phase, direction] += message.wire

    def total(self, direction: str) -> int:
        """Payload bytes so far in one direction."""
        return sum(size for (_, way, _), size in self.payload.items() if way == direction)

    def total_wire(self, direction: str) -> int:
        """Bytes of whole encodings so far in one direction."""
        return sum(size for (_, way), size in self.wire.items() if way == direction)

    def by_name(self) -> list[list[Any]]:
        """Rows of phase, direction, name and payload bytes, sorted."""
        return [[*row, size] for row, size in sorted(self.payload.items())]

    def to_json(self) -> dict[str, Any]:
        """A plain description that `from_json` restores."""
        return {"payload": self.by_name(), "wire": [[*row, size] for row, size in sorted(self.wire.items())]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CommunicationCounter:
        """The counter that `to_json` described."""
        counter = cls()
        counter.payload = Counter({(phase, way, name): size for phase, way, name, size in data["payload"]})
        counter.wire = Counter({(phase, way): size for phase, way, size in data["wire"]})
        return counter

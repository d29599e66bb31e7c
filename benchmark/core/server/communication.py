"""What was sent: bytes measured on encoded messages, never computed from a formula."""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmark.core.storage.serialization import EncodedMessage

Row = tuple[str, str, str]  # phase, direction ("down" or "up"), name


class CommunicationCounter:
    """Bytes by phase, direction and name, and by round; every message of every client is entered once.

    payload: tensor data alone, which is what papers count
    wire: the whole encoding with names, types and shapes
    """

    def __init__(self) -> None:
        self.payload: Counter[Row] = Counter()
        self.wire: Counter[tuple[str, str]] = Counter()
        self.rounds: list[dict[str, int]] = []

    def open_round(self) -> None:
        """Start counting a new round."""
        self.rounds.append({"down": 0, "up": 0, "down_wire": 0, "up_wire": 0})

    def enter(self, phase: str, direction: str, parcel: EncodedMessage) -> None:
        """Count one message to or from one client."""
        for name, size in parcel.payload.items():
            self.payload[phase, direction, name] += size
        self.wire[phase, direction] += parcel.wire
        self.rounds[-1][direction] += sum(parcel.payload.values())
        self.rounds[-1][f"{direction}_wire"] += parcel.wire

    def total(self, direction: str) -> int:
        """Payload bytes so far in one direction."""
        return sum(size for (_, way, _), size in self.payload.items() if way == direction)

    def cumulative(self) -> list[int]:
        """Payload bytes in both directions up to and with each round."""
        sums, so_far = [], 0
        for entry in self.rounds:
            so_far += entry["down"] + entry["up"]
            sums.append(so_far)
        return sums

    def to_json(self) -> dict[str, Any]:
        """A plain description that `from_json` restores."""
        return {
            "payload": [[*row, size] for row, size in sorted(self.payload.items())],
            "wire": [[*row, size] for row, size in sorted(self.wire.items())],
            "rounds": self.rounds,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CommunicationCounter:
        """The ledger that `to_json` described."""
        ledger = cls()
        ledger.payload = Counter({(p, d, n): size for p, d, n, size in data["payload"]})
        ledger.wire = Counter({(p, d): size for p, d, size in data["wire"]})
        ledger.rounds = data["rounds"]
        return ledger

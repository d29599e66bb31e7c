"""The ledger: every message of every client once, by phase, direction and name."""

from __future__ import annotations

import json

import torch

from benchmark.core.server.communication import CommunicationCounter
from benchmark.core.storage import serialization


def filled() -> CommunicationCounter:
    """Two rounds: 40 bytes of model down to two clients, 40 + 8 up from one; then 8 bytes of logits up."""
    model = serialization.encode({"model": {"w": torch.zeros(10)}}, "test")
    reply = serialization.encode({"model": {"w": torch.zeros(10)}, "count": torch.tensor(1)}, "test")
    ledger = CommunicationCounter()
    ledger.open_round()
    for parcel in (model, model):
        ledger.enter("train", "down", parcel)
    ledger.enter("train", "up", reply)
    ledger.enter("train", "up", serialization.encode(None, "test"))
    ledger.open_round()
    ledger.enter("score", "up", serialization.encode({"logits": torch.zeros(2)}, "test"))
    return ledger


def test_bytes_by_hand() -> None:
    ledger = filled()
    assert ledger.payload == {
        ("train", "down", "model"): 80, ("train", "up", "model"): 40, ("train", "up", "count"): 8,
        ("score", "up", "logits"): 8,
    }  # fmt: skip
    assert (ledger.total("down"), ledger.total("up")) == (80, 56)
    assert ledger.cumulative() == [128, 136]


def test_wire_counts_whole_encodings() -> None:
    ledger = filled()
    one = serialization.encode({"model": {"w": torch.zeros(10)}}, "test").wire
    assert ledger.wire["train", "down"] == 2 * one and ledger.rounds[0]["down_wire"] == 2 * one
    assert sum(ledger.wire.values()) == sum(entry["down_wire"] + entry["up_wire"] for entry in ledger.rounds)


def test_a_ledger_survives_json_and_goes_on_counting() -> None:
    ledger = filled()
    restored = CommunicationCounter.from_json(json.loads(json.dumps(ledger.to_json())))
    assert (restored.payload, restored.wire, restored.rounds) == (ledger.payload, ledger.wire, ledger.rounds)
    for one in (ledger, restored):
        one.open_round()
        one.enter("score", "down", serialization.encode({"logits": torch.zeros(2)}, "test"))
    assert restored.to_json() == ledger.to_json() and restored.cumulative()[-1] == 144


def test_the_description_does_not_depend_on_the_order_of_entries() -> None:
    parcels = {name: serialization.encode({name: torch.zeros(2)}, "test") for name in ("a", "b")}
    descriptions = []
    for order in ("ab", "ba"):
        ledger = CommunicationCounter()
        ledger.open_round()
        for name in order:
            ledger.enter("train", "up", parcels[name])
        descriptions.append(ledger.to_json())
    assert descriptions[0] == descriptions[1]

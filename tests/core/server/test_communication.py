"""The count of communication: every message of every client once, by phase, direction and name."""

from __future__ import annotations

import json

import torch

from benchmark.core.server.communication import CommunicationCounter
from benchmark.core.storage import serialization


def filled() -> CommunicationCounter:
    """40 bytes of model down to two clients, 40 + 8 up from one and nothing from the other; then 8 bytes of logits."""
    model = serialization.encode({"model": {"w": torch.zeros(10)}}, "test")
    reply = serialization.encode({"model": {"w": torch.zeros(10)}, "count": torch.tensor(1)}, "test")
    count = CommunicationCounter()
    for download in (model, model):
        count.record("train", "down", download)
    count.record("train", "up", reply)
    count.record("train", "up", serialization.encode(None, "test"))
    count.record("score", "up", serialization.encode({"logits": torch.zeros(2)}, "test"))
    return count


def test_bytes_by_hand() -> None:
    count = filled()
    assert count.payload == {
        ("train", "down", "model"): 80,
        ("train", "up", "model"): 40,
        ("train", "up", "count"): 8,
        ("score", "up", "logits"): 8,
    }
    assert (count.total("down"), count.total("up")) == (80, 56)


def test_wire_counts_whole_encodings() -> None:
    count = filled()
    one = serialization.encode({"model": {"w": torch.zeros(10)}}, "test").wire
    assert count.wire["train", "down"] == count.total_wire("down") == 2 * one
    assert count.total_wire("up") == count.wire["train", "up"] + count.wire["score", "up"] > 56


def test_a_count_survives_json_and_goes_on() -> None:
    count = filled()
    restored = CommunicationCounter.from_json(json.loads(json.dumps(count.to_json())))
    assert (restored.payload, restored.wire) == (count.payload, count.wire)
    for one in (count, restored):
        one.record("score", "down", serialization.encode({"logits": torch.zeros(2)}, "test"))
    assert restored.to_json() == count.to_json() and restored.total("down") == 88


def test_the_description_does_not_depend_on_the_order_of_messages() -> None:
    messages = {name: serialization.encode({name: torch.zeros(2)}, "test") for name in ("a", "b")}
    descriptions = []
    for order in ("ab", "ba"):
        count = CommunicationCounter()
        for name in order:
            count.record("train", "up", messages[name])
        descriptions.append(count.to_json())
    assert descriptions[0] == descriptions[1]

"""Messages: nothing but tensors gets through, bytes are those of the encoding, what arrives is what was sent."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core import tree as trees
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage import serialization

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
TENSORS = st.builds(
    lambda shape, dtype: torch.arange(shape[0] * shape[1]).reshape(shape).to(dtype),
    st.tuples(st.integers(0, 3), st.integers(1, 3)), st.sampled_from(DTYPES),
)  # fmt: skip
NAMES = st.text("ab.é", min_size=1, max_size=3)
NODES = st.recursive(TENSORS, lambda inner: st.dictionaries(NAMES, inner, max_size=2))
MESSAGES = st.dictionaries(NAMES, NODES, max_size=3)


def outline(tree: Any) -> Any:
    """Structure, types, shapes and values in plain Python."""
    if isinstance(tree, dict):
        return {name: outline(node) for name, node in sorted(tree.items())}
    return tree.dtype, tuple(tree.shape), tree.tolist()


@given(MESSAGES)
def test_what_arrives_is_what_was_sent(message: trees.Tree) -> None:
    parcel = serialization.encode(message, "test")
    arrived = serialization.decode(parcel.data)
    assert outline(arrived) == outline(message)
    assert sum(parcel.payload.values()) == sum(x.numel() * x.element_size() for _, x in trees.walk(message))
    assert parcel.wire == len(parcel.data) >= sum(parcel.payload.values())


@given(MESSAGES)
def test_equal_messages_are_equal_bytes(message: trees.Tree) -> None:
    backwards = dict(reversed(list(message.items())))
    assert serialization.encode(message, "test") == serialization.encode(trees.copy(backwards), "test")


def test_payload_is_counted_by_top_level_name() -> None:
    message = {"model": {"w": torch.zeros(3, 2), "n": torch.zeros(1, dtype=torch.int64)}, "seed": torch.tensor(7)}
    assert serialization.encode(message, "test").payload == {"model": 6 * 4 + 8, "seed": 8}


def test_nothing_costs_nothing() -> None:
    assert (
        serialization.encode(None, "test") == serialization.EncodedMessage(b"", {})
        and serialization.decode(b"") is None
    )
    empty = serialization.encode({}, "test")  # an empty message is a message: its envelope counts
    assert serialization.decode(empty.data) == {} and empty.payload == {} and empty.wire > 0


def test_views_strides_and_shared_memory_travel_as_values() -> None:
    base = torch.arange(12.0).reshape(3, 4)
    message = {"whole": base, "again": base, "turned": base.T, "row": base[1], "wide": base[:1].expand(5, 4)}
    parcel = serialization.encode(message, "test")
    assert outline(serialization.decode(parcel.data)) == outline(message)
    assert parcel.payload == {"whole": 48, "again": 48, "turned": 48, "row": 16, "wide": 80}
    assert parcel.wire < 48 * 3 + 16 + 80 + 500  # nothing of the memory behind a view


def test_what_arrives_shares_no_memory_with_what_was_sent() -> None:
    sent = torch.zeros(3)
    arrived = serialization.decode(serialization.encode({"x": sent}, "test").data)
    assert arrived is not None
    arrived["x"].add_(1)
    assert not sent.any()


def test_gradients_and_attributes_stay_behind() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.secret = "x"  # type: ignore[attr-defined]
    arrived = serialization.decode(serialization.encode({"w": weight}, "test").data)
    assert arrived is not None and type(arrived["w"]) is torch.Tensor and not arrived["w"].requires_grad
    assert not hasattr(arrived["w"], "secret")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"a": {"b": 3}}, "a/b is a int, not a tensor"),
        ({"a": torch.zeros(1), "c": [torch.zeros(1)]}, "c is a list, not a tensor"),
        ({"a": None}, "a is a NoneType, not a tensor"),
        ([torch.zeros(1)], "must be a dict of tensors, got a list"),
        ({"a": {"b/c": torch.zeros(1)}}, "a/'b/c' cannot name an entry"),
        ({"": torch.zeros(1)}, "'' cannot name an entry"),
        ({3: torch.zeros(1), "a": torch.zeros(1)}, "3 cannot name an entry"),
        ({"a": torch.zeros(2).to_sparse()}, "cannot be encoded"),
        ({"a": torch.zeros(2, device="meta")}, "cannot be encoded"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_everything_else_is_refused_by_path(message: Any, words: str) -> None:
    with pytest.raises(BenchmarkError) as caught:
        serialization.encode(message, "upload in round 3")
    assert words in str(caught.value) and str(caught.value).startswith("upload in round 3: ")
    assert caught.value.hint


@given(st.binary(min_size=1, max_size=64))
def test_bytes_that_are_no_message_are_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(BenchmarkError, match="not an encoded message"):
        serialization.decode(data)


def test_names_arrive_in_order_however_they_were_sent() -> None:
    # what is summed over a tree is rounded in its order; twenty names are in order by chance once in 20!
    message = {f"{name:02}": {"b": torch.zeros(1), "a": torch.zeros(1)} for name in reversed(range(20))}
    arrived = serialization.decode(serialization.encode(message, "test").data)
    assert arrived is not None and list(arrived) == sorted(message)
    assert all(list(node) == ["a", "b"] for node in arrived.values())

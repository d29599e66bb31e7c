"""Encoding of messages as safetensors: nothing but tensors, and the same bytes for the same tree."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from safetensors.torch import load, save

from benchmark.core import tree as trees
from benchmark.core.errors import BenchmarkError
from benchmark.core.tree import Tree

LONGEST_NAME = 128  # of an entry: a name is no place for data, which payload would not count


class EncodedMessage(NamedTuple):
    """An encoded message.

    Attributes:
        data: The encoding.
        payload: Bytes of tensor data by top-level name.
    """

    data: bytes
    payload: dict[str, int]

    @property
    def wire(self) -> int:
        """Bytes of the whole encoding."""
        return len(self.data)


def encode(message: Tree | None, where: str) -> EncodedMessage:
    """Encode a message.

    Args:
        message: Nested dicts of tensors; None, which sends nothing, has no bytes.
        where: Who sends it, for errors.

    Raises:
        BenchmarkError: If a leaf is not a plain dense tensor.
    """
    if message is None:
        return EncodedMessage(b"", {})
    leaves = check(message, where)
    payload: dict[str, int] = {}
    for path, leaf in leaves:
        name = path.split(trees.SEPARATOR)[0]
        payload[name] = payload.get(name, 0) + leaf.numel() * leaf.element_size()
    try:
        return EncodedMessage(save(plain_tensors(leaves)), payload)
    except (ValueError, RuntimeError) as error:  # sparse, on no device, of an exotic type
        raise BenchmarkError(
            f"cannot be encoded ({error})", where=where, hint="send plain dense tensors", user=False
        ) from error


def decode(data: bytes) -> Tree | None:
    """Decode a message into new memory; BenchmarkError for bytes that are none."""
    try:
        # sorted: safetensors returns tensors in a different order each time, and sums over a tree follow its order
        return trees.nest(dict(sorted(load(data).items()))) if data else None
    except Exception as error:  # each layer of the format has its own
        raise BenchmarkError(f"not an encoded message ({error})", user=False) from error


def ordered(tree: Tree, where: str) -> Tree:
    """The tree in the order in which decoding returns it, which sums over its names follow."""
    return trees.nest(dict(sorted(check(tree, where))))


def check(message: Any, where: str, prefix: str = "") -> list[tuple[str, torch.Tensor]]:
    """Paths and tensors of a message in sorted order; BenchmarkError names what is not a tree of tensors.

    An empty dict has a path that ends in "/" and an empty tensor, so that decoding returns it.
    """
    if not isinstance(message, Mapping):
        what = f"{prefix.removesuffix(trees.SEPARATOR)} is" if prefix else "a message must be a dict of tensors, got"
        raise BenchmarkError(
            f"{what} a {type(message).__name__}" + ", not a tensor" * bool(prefix),
            where=where,
            hint="only nested dicts of tensors move (None sends nothing): wrap numbers in torch.tensor",
            user=False,
        )
    if prefix and not message:
        return [(prefix, torch.zeros(0))]
    for name in message:
        if not isinstance(name, str) or not name or trees.SEPARATOR in name or len(name) > LONGEST_NAME:
            hint = f"names are strings of 1 to {LONGEST_NAME} characters without {trees.SEPARATOR}: data are tensors"
            raise BenchmarkError(
                f"{prefix}{reprlib.repr(name)} cannot name an entry", where=where, hint=hint, user=False
            )
    leaves: list[tuple[str, torch.Tensor]] = []
    for name in sorted(message):
        node, path = message[name], prefix + name
        if type(node) in (torch.Tensor, torch.nn.Parameter):  # a subclass could lie about its size
            leaves.append((path, node))
        else:
            leaves += check(node, where, path + trees.SEPARATOR)
    return leaves


def plain_tensors(leaves: list[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Dense tensors on the CPU by path; copies where memory is shared, which the format refuses."""
    seen: set[int] = set()
    plain = {}
    for path, leaf in leaves:
        tensor = leaf.detach().contiguous().cpu()
        storage = tensor.untyped_storage().data_ptr()
        plain[path] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return plain

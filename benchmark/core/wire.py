"""Messages as bytes: safetensors, nothing but tensors, the same bytes for the same tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from safetensors.torch import load, save

from benchmark.core import tree as trees
from benchmark.core.errors import BenchmarkError
from benchmark.core.tree import Tree


class Parcel(NamedTuple):
    """An encoded message; `payload` counts tensor data by top-level name, in bytes."""

    data: bytes
    payload: dict[str, int]

    @property
    def wire(self) -> int:
        """Bytes of the whole encoding."""
        return len(self.data)


def encode(message: Tree | None, where: str) -> Parcel:
    """Bytes of a message; None (nothing is sent) has no bytes at all.

    where: who sends it, for the error if a leaf is not a tensor
    """
    if message is None:
        return Parcel(b"", {})
    leaves = dict(check(message, where))
    payload: dict[str, int] = {}
    for path, leaf in leaves.items():
        name = path.split(trees.SEPARATOR)[0]
        payload[name] = payload.get(name, 0) + leaf.numel() * leaf.element_size()
    return Parcel(save({path: leaf.detach().contiguous().cpu() for path, leaf in leaves.items()}), payload)


def decode(data: bytes) -> Tree | None:
    """The message again, on fresh memory."""
    return trees.nest(load(data)) if data else None


def check(message: Any, where: str) -> list[tuple[str, torch.Tensor]]:
    """Paths and tensors of a message; refuses whatever is not a tree of tensors, by path."""
    if not isinstance(message, Mapping):
        raise BenchmarkError(
            f"a message must be a dict of tensors, got {type(message).__name__}",
            where=where,
            hint="return a nested dict with tensors as leaves, or None to send nothing",
        )
    leaves = list(trees.walk(dict(message)))
    for path, leaf in leaves:
        if not isinstance(leaf, torch.Tensor):
            raise BenchmarkError(
                f"{path} is a {type(leaf).__name__}, not a tensor",
                where=where,
                hint="only tensors move between server and clients: wrap numbers in torch.tensor",
            )
    return leaves

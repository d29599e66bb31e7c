"""Trees: nested dictionaries with string keys and tensors as leaves. Models, messages and memories are trees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Tree = dict[str, Any]  # str -> Tensor or Tree
SEPARATOR = "/"


def walk(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, leaf) in sorted order of paths' parts; anything that is not a mapping is a leaf."""
    for name in sorted(tree):
        path = f"{prefix}{SEPARATOR}{name}" if prefix else name
        if isinstance(tree[name], Mapping):
            yield from walk(tree[name], path)
        else:
            yield path, tree[name]


def nest(leaves: Mapping[str, Tensor]) -> Tree:
    """The inverse of `walk`: {"a/b": x} becomes {"a": {"b": x}}; a path that ends in "/" makes an empty tree."""
    tree: Tree = {}
    for path, leaf in leaves.items():
        *folders, name = path.split(SEPARATOR)
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        if name:
            node[name] = leaf
    return tree


def map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply function to every leaf (and the leaves at the same path of the others); the structure stays."""
    return {
        name: map(function, dict(node), *(other[name] for other in others))
        if isinstance(node, Mapping)
        else function(node, *(other[name] for other in others))
        for name, node in tree.items()
    }


def copy(tree: Tree) -> Tree:
    """A tree whose tensors share no memory with the given one."""
    return map(lambda leaf: leaf.detach().clone(), tree)


def zeros(tree: Tree) -> Tree:
    """A tree of the same shapes, filled with zeros."""
    return map(torch.zeros_like, tree)


def add(a: Tree, b: Tree, scale: float = 1.0) -> Tree:
    """a + scale * b."""
    return map(lambda x, y: x + scale * y if x.is_floating_point() else x + y, a, b)


def sub(a: Tree, b: Tree) -> Tree:
    """a - b."""
    return map(torch.sub, a, b)


def scale(tree: Tree, factor: float) -> Tree:
    """factor * tree."""
    return map(lambda leaf: leaf * factor, tree)


def dot(a: Tree, b: Tree) -> Tensor:
    """Inner product over the paths of a (b may have more)."""
    return torch.stack([(leaf * b[name]).sum() for name, leaf in a.items()]).sum()


def squared_distance(a: Tree, b: Tree) -> Tensor:
    """Squared Euclidean distance over the paths of a (b may have more)."""
    return torch.stack([(leaf - b[name]).square().sum() for name, leaf in a.items()]).sum()


def mean(trees: Sequence[Tree], weights: Sequence[float] | None = None) -> Tree:
    """Weighted mean in the given order, accumulated in float64 and rounded once; weights need not sum to one."""
    shares = [1.0 / len(trees)] * len(trees) if weights is None else [w / sum(weights) for w in weights]
    return total(trees, shares)


def total(trees: Sequence[Tree], weights: Sequence[float]) -> Tree:
    """Weighted sum in the given order, accumulated in float64 and rounded once to the first tree's types.

    Raises ValueError if shapes differ: a sum that broadcasts would go unnoticed.
    """

    def leaf_total(*leaves: Tensor) -> Tensor:
        if len({leaf.shape for leaf in leaves}) > 1:
            raise ValueError(f"shapes differ: {', '.join(str(tuple(leaf.shape)) for leaf in leaves)}")
        result = leaves[0].to(torch.float64) * weights[0]
        for leaf, weight in zip(leaves[1:], weights[1:], strict=True):
            result.add_(leaf.to(torch.float64), alpha=weight)
        return result.to(leaves[0].dtype)

    return map(leaf_total, trees[0], *trees[1:])


def stack(trees: Sequence[Tree]) -> Tree:
    """One tree whose leaves have a new first axis over the given trees."""
    return map(lambda *leaves: torch.stack(leaves), trees[0], *trees[1:])


def unstack(tree: Tree, count: int) -> list[Tree]:
    """The inverse of `stack`."""
    return [map(lambda leaf, i=i: leaf[i], tree) for i in range(count)]


def select(tree: Tree, prefix: str | tuple[str, ...]) -> Tree:
    """The entries of a flat tree whose names begin with prefix."""
    return {name: leaf for name, leaf in tree.items() if name.startswith(prefix)}


def finite(tree: Tree) -> str | None:
    """The path of the first leaf with a value that is not finite, or None."""
    for path, leaf in walk(tree):
        if leaf.is_floating_point() and not bool(torch.isfinite(leaf).all()):
            return path
    return None

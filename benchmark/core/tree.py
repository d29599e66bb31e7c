"""Trees: nested dicts with string keys and tensors as leaves. Models, messages and memories are trees.

A flat tree has tensors alone as entries. Functions leave their arguments unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Tree = dict[str, Any]  # str -> Tensor or Tree
SEPARATOR = "/"


def walk(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree in sorted order; whatever is not a mapping is a leaf.

    Args:
        tree: A tree.
        prefix: Path of the tree, which begins the paths of its leaves.

    Yields:
        Path, with parts joined by "/", and leaf.
    """
    for name in sorted(tree):
        path = f"{prefix}{SEPARATOR}{name}" if prefix else name
        if isinstance(tree[name], Mapping):
            yield from walk(tree[name], path)
        else:
            yield path, tree[name]


def nest(leaves: Mapping[str, Tensor]) -> Tree:
    """The inverse of `walk`: {"a/b": x} becomes {"a": {"b": x}}.

    Args:
        leaves: Leaves by path; a path that ends in "/" makes an empty tree.
    """
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
    """A tree of the same structure with the results of a function.

    Args:
        function: Called with each leaf of `tree` and the leaves at the same path of the others.
        tree: A tree.
        *others: Trees that have all paths of `tree`.
    """
    return {
        name: map(function, dict(node), *(other[name] for other in others))
        if isinstance(node, Mapping)
        else function(node, *(other[name] for other in others))
        for name, node in tree.items()
    }


def copy(tree: Tree) -> Tree:
    """A tree of detached copies, which share no memory with the original.

    Args:
        tree: A tree.
    """
    return map(lambda leaf: leaf.detach().clone(), tree)


def zeros(tree: Tree) -> Tree:
    """A tree of the same shapes and types, filled with zeros.

    Args:
        tree: A tree.
    """
    return map(torch.zeros_like, tree)


def add(a: Tree, b: Tree, scale: float = 1.0) -> Tree:
    """The sum a + scale * b; leaves of integers are added without the scale.

    Args:
        a: A tree.
        b: A tree with all paths of `a`.
        scale: Factor of `b`.
    """
    return map(lambda x, y: x + scale * y if x.is_floating_point() else x + y, a, b)


def sub(a: Tree, b: Tree) -> Tree:
    """The difference a - b.

    Args:
        a: A tree.
        b: A tree with all paths of `a`.
    """
    return map(torch.sub, a, b)


def scale(tree: Tree, factor: float) -> Tree:
    """The product of a tree and a number.

    Args:
        tree: A tree.
        factor: Factor of every leaf.
    """
    return map(lambda leaf: leaf * factor, tree)


def squared_distance(a: Tree, b: Tree) -> Tensor:
    """Squared Euclidean distance of two flat trees over the names of the first.

    Args:
        a: A flat tree.
        b: A flat tree with all names of `a`.

    Returns:
        A scalar.
    """
    return torch.stack([(leaf - b[name]).square().sum() for name, leaf in a.items()]).sum()


def mean(trees: Sequence[Tree], weights: Sequence[float] | None = None) -> Tree:
    """Weighted mean, accumulated in float64 in the given order and rounded once, integers to the nearest one.

    Args:
        trees: Trees of the same structure and shapes.
        weights: One number for each tree, of any sum; None weighs them equally.

    Returns:
        A tree with the types of the first.

    Raises:
        ValueError: If shapes differ.
    """
    shares = [1.0 / len(trees)] * len(trees) if weights is None else [w / sum(weights) for w in weights]
    return total(trees, shares)


def total(trees: Sequence[Tree], weights: Sequence[float]) -> Tree:
    """Weighted sum, accumulated in float64 in the given order and rounded once, integers to the nearest one.

    Args:
        trees: Trees of the same structure and shapes.
        weights: One number for each tree.

    Returns:
        A tree with the types of the first.

    Raises:
        ValueError: If shapes differ; a sum that broadcasts would go unnoticed.
    """

    def leaf_total(*leaves: Tensor) -> Tensor:
        if len({leaf.shape for leaf in leaves}) > 1:
            raise ValueError(f"shapes differ: {', '.join(str(tuple(leaf.shape)) for leaf in leaves)}")
        result = leaves[0].to(torch.float64) * weights[0]
        for leaf, weight in zip(leaves[1:], weights[1:], strict=True):
            result.add_(leaf.to(torch.float64), alpha=weight)
        return as_type(result, leaves[0].dtype)

    return map(leaf_total, trees[0], *trees[1:])


def as_type(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Real numbers as a type; integers and truth values are rounded, where a cast alone would cut.

    Args:
        values: Real numbers.
        dtype: The type.
    """
    return values.to(dtype) if dtype.is_floating_point else values.round().to(dtype)


def stack(trees: Sequence[Tree]) -> Tree:
    """One tree for several, whose leaves have a new first axis.

    Args:
        trees: Trees of the same structure and shapes.
    """
    return map(lambda *leaves: torch.stack(leaves), trees[0], *trees[1:])


def unstack(tree: Tree, count: int) -> list[Tree]:
    """The inverse of `stack`.

    Args:
        tree: A tree whose leaves share the size of their first axis.
        count: That size.
    """
    return [map(lambda leaf, i=i: leaf[i], tree) for i in range(count)]


def select(tree: Tree, prefix: str | tuple[str, ...]) -> Tree:
    """The entries of a flat tree whose names begin with a prefix.

    Args:
        tree: A flat tree.
        prefix: One prefix or several.
    """
    return {name: leaf for name, leaf in tree.items() if name.startswith(prefix)}


def finite(tree: Tree) -> str | None:
    """The path of the first leaf with a value that is not finite; None if there is none.

    Args:
        tree: A tree.
    """
    for path, leaf in walk(tree):
        if leaf.is_floating_point() and not bool(torch.isfinite(leaf).all()):
            return path
    return None

"""Trees: order, inverses, sums in float64 whatever the order of dictionaries."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core import tree

LEAVES = st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=3).map(torch.tensor)
NAMES = st.text("abcxyz.", min_size=1, max_size=3)
NODES = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)
TREES = st.dictionaries(NAMES, NODES)


def same(a: tree.Tree, b: tree.Tree) -> bool:
    """Equal paths and equal bits."""
    left, right = dict(tree.walk(a)), dict(tree.walk(b))
    return left.keys() == right.keys() and all(torch.equal(left[path], right[path]) for path in left)


@given(TREES)
def test_nest_inverts_walk_and_copies_share_nothing(a: tree.Tree) -> None:
    assert same(tree.nest(dict(tree.walk(a))), a)
    copied = tree.copy(a)
    assert same(copied, a)
    for (_, old), (_, new) in zip(tree.walk(a), tree.walk(copied), strict=True):
        assert old.data_ptr() != new.data_ptr()


@given(TREES)
def test_stack_unstacks_and_sums_cancel(a: tree.Tree) -> None:
    double = tree.scale(a, 2.0)
    first, second = tree.unstack(tree.stack([a, double]), 2)
    assert same(first, a) and same(second, double)
    assert same(tree.sub(tree.add(a, a), a), a)  # 2x - x is exact in floating point
    assert same(tree.add(a, a), double) and same(tree.sub(a, a), tree.zeros(a))


def test_walk_goes_in_sorted_order_of_the_parts() -> None:
    x = torch.zeros(1)
    assert [path for path, _ in tree.walk({"b": x, "a": {"z": x, "c": x}, "a.a": x})] == ["a/c", "a/z", "a.a", "b"]
    assert tree.nest({"a/": x, "b/c/": x, "b/d": x})["b"] == {"c": {}, "d": x}


def test_a_mean_is_weighted_by_hand() -> None:
    trees = [{"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([5.0, -2.0])}]
    # (1 * 1 + 3 * 5) / 4 = 4, (1 * 2 + 3 * -2) / 4 = -1
    assert tree.mean(trees, [1, 3])["w"].tolist() == [4.0, -1.0]
    assert tree.mean(trees)["w"].tolist() == [3.0, 0.0]
    assert tree.total(trees, [1.0, 0.5])["w"].tolist() == [3.5, 1.0]


def test_sums_accumulate_in_float64() -> None:
    # In float32 1e8 + 1 = 1e8, so that the ones would be lost; in float64 (1e8 + 1 + 1 - 1e8) / 4 = 0.5.
    leaves = [{"w": torch.tensor(value)} for value in (1e8, 1.0, 1.0, -1e8)]
    mean = tree.mean(leaves)["w"]
    assert mean.item() == 0.5 and mean.dtype == torch.float32
    counts = tree.mean([{"n": torch.tensor(3)}, {"n": torch.tensor(6)}])["n"]  # 4.5 rounds towards zero
    assert counts.item() == 4 and counts.dtype == torch.int64


def test_a_sum_never_broadcasts() -> None:
    with pytest.raises(ValueError, match=r"\(3,\), \(1,\)"):
        tree.mean([{"w": torch.zeros(3)}, {"w": torch.zeros(1)}])
    with pytest.raises(KeyError, match="v"):
        tree.mean([{"v": torch.zeros(3)}, {"w": torch.zeros(3)}])


def test_distances_and_sums_by_hand() -> None:
    a = {"w": torch.tensor([1.0, 2.0]), "b": torch.tensor(3.0)}
    b = {"w": torch.tensor([4.0, 0.0]), "b": torch.tensor(1.0), "more": torch.tensor(9.0)}
    assert tree.squared_distance(a, b).item() == 9 + 4 + 4
    assert tree.add({"n": torch.tensor(2)}, {"n": torch.tensor(3)}, 0.5)["n"].item() == 5  # counters do not scale


def test_select_takes_one_or_several_prefixes() -> None:
    flat = {"head.w": torch.zeros(1), "body.w": torch.zeros(1), "tail.w": torch.zeros(1)}
    assert list(tree.select(flat, "head")) == ["head.w"]
    assert list(tree.select(flat, ("tail", "head"))) == ["head.w", "tail.w"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_the_first_path_that_is_not_finite_is_named(value: float) -> None:
    good, bad = torch.zeros(2), torch.tensor([0.0, value])
    assert tree.finite({"b": {"x": bad}, "a": good, "c": bad}) == "b/x"
    assert tree.finite({"a": good, "n": torch.tensor(1)}) is None


def test_means_of_integers_are_integers_to_the_nearest() -> None:
    counts = {"pixels": torch.arange(63, -1, -1), "some": torch.tensor([True, False])}
    for shares in (None, [0.1] * 10, [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]):
        mean = tree.mean([counts] * 10, shares)
        assert same(mean, counts) and mean["pixels"].dtype == torch.int64
    # (1 * 1 + 2 * 2) / 3 = 5/3, (-1 * 1 - 2 * 2) / 3 = -5/3
    one, two = {"n": torch.tensor([1, -1])}, {"n": torch.tensor([2, -2])}
    assert tree.mean([one, two], [1, 2])["n"].tolist() == [2, -2]

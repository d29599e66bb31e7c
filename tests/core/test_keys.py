"""Keys: numbers depend on root and names alone, and differ whenever these do."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.keys import Key

NAMES = st.lists(st.text("abc 01/-", max_size=4) | st.integers(-5, 1000), max_size=4)


@given(st.integers(0, 9), NAMES, NAMES)
def test_names_may_come_one_by_one_or_at_once(root: int, a: list[str | int], b: list[str | int]) -> None:
    assert Key(root)(*a)(*b).seed == Key(root)(*a, *b).seed
    assert 0 <= Key(root)(*a).seed < 2**63


@given(NAMES, NAMES)
def test_other_names_are_another_key(a: list[str | int], b: list[str | int]) -> None:
    assert (Key(0)(*a).seed == Key(0)(*b).seed) == (a == b)
    assert Key(0)(*a).seed != Key(1)(*a).seed


def test_the_seed_is_half_of_a_hash_of_typed_names() -> None:
    digest = hashlib.blake2b(b"7\x1fsclient\x1fi3", digest_size=8).digest()
    assert Key(7)("client", 3).seed == int.from_bytes(digest, "big") // 2
    assert Key(7)("client", 3).seed == Key(7)("client", np.int64(3)).seed  # type: ignore[arg-type]
    assert Key(7)("client", 3).seed != Key(7)("client", "3").seed


def test_another_process_draws_the_same() -> None:
    script = "from benchmark.core.keys import Key; print(Key(3)('x', 1).permutation(20).tolist())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(Key(3)("x", 1).permutation(20).tolist())


def test_generators_have_no_memory_of_each_other() -> None:
    key = Key(0)("draw")
    first, again = key.numpy().random(3), key.numpy().random(3)
    assert np.array_equal(first, again)
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    key.torch()
    assert torch.equal(torch.rand(1), before)  # torch's own generator stays where it was


@given(st.integers(1, 50), st.data())
def test_a_choice_has_different_ascending_numbers(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    chosen = Key(0)("choice", n, k).choice(n, k)
    assert len(chosen) == k and (np.diff(chosen) > 0).all() and set(chosen) <= set(range(n))
    assert sorted(Key(0)(n).permutation(n)) == list(range(n))


def test_a_choice_is_fair() -> None:
    # 600 draws of 5 out of 20: each number expected 150 times, standard deviation sqrt(600 * 1/4 * 3/4) = 10.6: five of
    # them are 53. The draws are keyed, so that this holds or fails for ever.
    counts = np.bincount(np.concatenate([Key(0)("round", r).choice(20, 5) for r in range(600)]), minlength=20)
    assert counts.sum() == 3000 and np.abs(counts - 150).max() < 53


def test_a_choice_out_of_very_many_needs_no_memory_for_them() -> None:
    chosen = Key(0)("many").choice(10**12, 3)
    assert len(set(chosen.tolist())) == 3 and chosen.max() < 10**12

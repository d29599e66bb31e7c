"""Splits: numbers derived by hand, and what must hold for any labels."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.data import dirichlet_partition, partition, partition_table
from benchmark.core.data.lazy_partition import Drawn
from benchmark.core.data.row_assignment import take
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key

KEY = Key(0)
BALANCED = np.repeat(np.arange(10), 60)  # 600 rows, 60 of each of 10 classes, sorted by class

label_lists = st.lists(st.integers(0, 4), min_size=30, max_size=200).map(np.array)
keys = st.integers(0, 2**32).map(Key)


def counts(parts: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(labels[rows], minlength=labels.max() + 1) for rows in parts])


def assert_disjoint(parts: list[np.ndarray], labels: np.ndarray, used: int) -> None:
    rows = np.concatenate(parts)
    assert len(rows) == len(set(rows.tolist())) == used
    assert rows.min() >= 0 and rows.max() < len(labels)
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)


@given(label_lists, st.integers(1, 30), keys)
def test_iid_uses_every_row_and_sizes_differ_by_one_at_most(labels: np.ndarray, clients: int, key: Key) -> None:
    parts = partition.iid(labels, clients, key)
    assert_disjoint(parts, labels, used=len(labels))
    sizes = [len(part) for part in parts]
    assert len(parts) == clients and max(sizes) - min(sizes) <= 1


def test_a_client_s_rows_are_random_and_no_block() -> None:
    # Of 30 rows drawn among 120, about 30 * 29 / 120 = 7 pairs are neighbours; of a block, 29 are.
    labels = np.arange(120) % 3
    for parts in (partition.iid(labels, 4, KEY), partition.few_per_class(labels, 4, [0, 1, 2], 10, KEY)):
        assert all(len(rows) == 30 and (np.diff(rows) == 1).sum() < 15 for rows in parts)


def test_a_lazy_split_draws_for_each_client_by_its_number() -> None:
    drawn, again = (Drawn(np.arange(100, 140), 10**6, 5, KEY) for _ in range(2))
    chosen = {tuple(drawn[client].tolist()) for client in range(50)}
    assert len(chosen) == 50 and all(100 <= min(rows) < max(rows) < 140 for rows in chosen)
    assert [rows.tolist() for rows in again[:50]] == [drawn[client].tolist() for client in range(50)]


def test_a_fingerprint_tells_splits_apart() -> None:
    rows = np.arange(40)
    splits = [
        [rows[:2], rows[2:5]], [rows[:3], rows[3:5]], [rows[:5]],  # the same rows, cut elsewhere
        *(Drawn(rows, clients, size, key) for clients, size, key in ((9, 5, KEY), (8, 5, KEY), (9, 4, KEY))),
        Drawn(rows[1:], 9, 5, KEY), Drawn(rows, 9, 5, Key(1)),
    ]  # fmt: skip
    assert len({partition_table.fingerprint(parts) for parts in splits}) == len(splits)
    assert partition_table.fingerprint(splits[0]) == partition_table.fingerprint([rows[:2].copy(), rows[2:5].copy()])


def test_every_split_follows_from_its_key_alone() -> None:
    first, again, other = (partition.shards(BALANCED, 20, 2, key) for key in (Key(1), Key(1), Key(2)))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_shards_are_of_one_class_and_one_size() -> None:
    # 20 clients x 2 shards = 40 shards, 4 per class of 60 rows: 15 rows each, so 30 rows per client and nothing over.
    parts = partition.shards(BALANCED, 20, 2, KEY)
    assert_disjoint(parts, BALANCED, used=600)
    table = counts(parts, BALANCED)
    assert set(table.ravel().tolist()) <= {0, 15, 30}
    assert table.sum(axis=1).tolist() == [30] * 20
    assert table.sum(axis=0).tolist() == [60] * 10


def test_shards_are_as_large_as_the_smallest_class_allows() -> None:
    # Classes of 9, 12 and 7 rows, 3 clients x 2 shards = 6 shards, 2 per class: 7 // 2 = 3 rows each, 18 of 28 used.
    labels = np.repeat([0, 1, 2], [9, 12, 7])
    parts = partition.shards(labels, 3, 2, KEY)
    assert_disjoint(parts, labels, used=18)
    assert counts(parts, labels).sum(axis=0).tolist() == [6, 6, 6]


def test_published_shards_leave_out_the_classes_that_the_paper_s_cohorts_lack() -> None:
    # Cohorts are RandomState(round).choice(100, 10); reading the released code gives what rounds 196 to 199 lack.
    labels = np.repeat(np.arange(10), 100)
    parts = partition.shards(labels, 100, 2, KEY, draws="published")
    held = counts(parts, labels) > 0
    lacking = {
        t: set(np.flatnonzero(~held[np.random.RandomState(t).choice(100, 10, replace=False)].any(axis=0)).tolist())
        for t in (196, 197, 198, 199)
    }
    assert lacking == {196: {0, 6, 9}, 197: {5, 9}, 198: {4, 6}, 199: set()}


@settings(deadline=None)
@given(label_lists, st.integers(1, 6), st.sampled_from([0.3, 1.0, 100.0]), keys)
def test_dirichlet_uses_every_row_and_keeps_the_minimum(
    labels: np.ndarray, clients: int, alpha: float, key: Key
) -> None:
    parts = dirichlet_partition.dirichlet(labels, clients, alpha, 1, key)
    assert_disjoint(parts, labels, used=len(labels))
    assert min(map(len, parts)) >= 1


def test_dirichlet_gets_less_even_as_alpha_falls() -> None:
    # Shares of one class under Dir(a) over k = 10 clients have variance (1/k)(1 - 1/k)/(ka + 1): 0.045 for a = 0.1 and
    # 0.00009 for a = 100: of 60 rows standard deviations of about 12.7 and 0.6 around 6 (the cap shifts the first).
    spread = {
        alpha: counts(dirichlet_partition.dirichlet(BALANCED, 10, alpha, 1, KEY), BALANCED).std()
        for alpha in (0.1, 100.0)
    }
    assert 9 < spread[0.1] < 16
    assert spread[100.0] < 1


def test_without_the_cap_sizes_of_clients_are_sums_of_independent_shares() -> None:
    # A class of 600 rows gives a client a Dir(1) share: over k = 10 clients its variance is (1/k)(1 - 1/k)/(k + 1) =
    # 0.0082, 54 rows of standard deviation; ten such classes make 600 +- 172. The cap holds all but one class's worth
    # below 600, so that sizes then differ far less. Means over 20 draws of 10 sizes each, within about 10 %.
    labels = np.repeat(np.arange(10), 600)

    def spread(capped: bool) -> float:
        draws = [dirichlet_partition.dirichlet(labels, 10, 1.0, 1, Key(seed), capped) for seed in range(20)]
        return float(np.sqrt(np.mean([np.square(np.array([len(part) for part in parts]) - 600) for parts in draws])))

    assert 150 < spread(capped=False) < 195
    assert spread(capped=True) < 120


@given(st.integers(30, 40), st.integers(1, 25), keys)
@settings(deadline=None, max_examples=40)
def test_dirichlet_equal_gives_equal_sizes(per_class: int, clients: int, key: Key) -> None:
    labels = np.repeat(np.arange(10), per_class)
    parts = dirichlet_partition.dirichlet_equal(labels, clients, 1.0, key)
    size = len(labels) // clients
    assert_disjoint(parts, labels, used=size * clients)
    assert [len(part) for part in parts] == [size] * clients


def test_dirichlet_equal_is_milder_than_dirichlet() -> None:
    labels = np.repeat(np.arange(10), 500)
    plain = (counts(dirichlet_partition.dirichlet(labels, 20, 0.1, 10, KEY), labels) > 0).sum(axis=1).mean()
    equal = (counts(dirichlet_partition.dirichlet_equal(labels, 20, 0.1, KEY), labels) > 0).sum(axis=1).mean()
    assert equal > plain


def test_dirichlet_equal_draws_in_groups_of_ten_none_below_half_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    # 25 clients of 1000 rows: groups of 10, 10 and 5 with 400, 400 and 200 rows, 40 per client: none has fewer than 20.
    drawn, plain = list[np.ndarray](), dirichlet_partition.dirichlet_counts

    def counted(*arguments: Any) -> np.ndarray:
        drawn.append(plain(*arguments))
        return drawn[-1]

    monkeypatch.setattr(dirichlet_partition, "dirichlet_counts", counted)
    dirichlet_partition.dirichlet_equal(np.arange(1000) % 10, 25, 0.3, KEY)
    assert [(len(group), int(group.sum())) for group in drawn] == [(10, 400), (10, 400), (5, 200)]
    assert all(20 <= group.sum(axis=1).min() < 40 for group in drawn)


def test_dirichlet_sampled_takes_equally_many_of_each_class() -> None:
    # 90 and 30 rows of two classes: of each at most 40 are used, so 40 and 30, or all rows.
    labels = np.repeat([0, 1], [90, 30])
    for most, used in ((40, [40, 30]), (500, [90, 30])):
        parts = dirichlet_partition.dirichlet_sampled(labels, 3, 1.0, most, 1, KEY)
        assert_disjoint(parts, labels, used=sum(used))
        assert counts(parts, labels).sum(axis=0).tolist() == used


def test_dirichlet_sampled_fills_a_client_to_the_size_of_a_class() -> None:
    # With a tiny alpha most classes go to one client whole. One that has the 40 rows of class 0 is full and gets none
    # of class 1.
    labels = np.repeat([0, 1], [90, 30])
    tables = np.stack(
        [counts(dirichlet_partition.dirichlet_sampled(labels, 2, 0.01, 40, 1, Key(s)), labels) for s in range(20)]
    )
    full = tables[..., 0] == 40
    assert full.sum() > 10 and (tables[..., 1][full] == 0).all()
    # FedGen's numbers: 1,500 rows of ten classes make 750 for each of 20 clients, but a client may pass 1,500 once.
    labels = np.repeat(np.arange(10), 2_000)
    drawn = [dirichlet_partition.dirichlet_sampled(labels, 20, 0.1, 1_500, 10, Key(seed)) for seed in range(3)]
    sizes = np.array([len(rows) for parts in drawn for rows in parts])
    assert sizes.sum() == 3 * 15_000 and sizes.min() >= 10 and 1_500 < sizes.max() < 3_000


def test_target_labels_are_each_client_s_own() -> None:
    targets = partition.target_labels(10, 20, 3, KEY)
    assert all((np.diff(row) > 0).all() for row in targets) and len({tuple(row) for row in targets}) > 10


def test_labels_removed_cuts_target_labels_to_what_is_kept() -> None:
    # 600 rows, 4 clients x 150: about 15 of each class; 3 targets are cut to 2 rows each.
    parts = partition.labels_removed(BALANCED, 4, 150, 3, 2, KEY)
    table = counts(parts, BALANCED)
    targets = partition.target_labels(10, 4, 3, KEY)
    assert_disjoint(parts, BALANCED, used=int(table.sum()))
    for client, scarce in enumerate(targets):
        assert table[client][scarce].tolist() == [2, 2, 2]
        assert (np.delete(table[client], scarce) > 2).all()
    # All 600 rows were drawn, so what is missing was cut from the targets: the other labels keep all their rows.
    kept = sum(int(np.delete(table[client], scarce).sum()) for client, scarce in enumerate(targets))
    assert table.sum() == kept + 4 * 3 * 2


def test_superclass_gives_client_i_class_i_modulo_the_size_of_the_superclass() -> None:
    # Superclass 0 = classes 0, 2, 4; superclass 1 = classes 1, 3, 5. Client 4 owns number 4 mod 3 = 1: classes 2 and 3.
    labels = np.repeat(np.arange(6), 10)
    parts = partition.superclass(labels, labels % 2, 6, 5, [0, 1], KEY)
    table = counts(parts, labels)
    assert_disjoint(parts, labels, used=6 * 2 * 5)
    assert table[0].tolist() == table[3].tolist() == [5, 5, 0, 0, 0, 0]
    assert table[4].tolist() == [0, 0, 5, 5, 0, 0]


def test_few_per_class_gives_every_client_the_same_counts() -> None:
    parts = partition.few_per_class(BALANCED, 10, [0, 2, 7], 3, KEY)
    assert_disjoint(parts, BALANCED, used=90)
    assert counts(parts, BALANCED).tolist() == [[3, 0, 3, 0, 0, 0, 0, 3, 0, 0]] * 10


def test_hold_out_takes_the_same_share_of_every_class() -> None:
    # 10 % of 9, 12 and 27 rows, rounded: 1, 1 and 3.
    labels = np.repeat([0, 1, 2], [9, 12, 27])
    rest, held = partition.hold_out(labels, 0.1, KEY)
    assert np.bincount(labels[held]).tolist() == [1, 1, 3]
    assert_disjoint([rest, held], labels, used=48)
    everything, nothing = partition.hold_out(labels, 0, KEY)
    assert everything.tolist() == list(range(48)) and len(nothing) == 0


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: partition.iid(BALANCED, 601, KEY), "600 samples do not serve 601 clients"),
        (lambda: partition.shards(BALANCED, 7, 2, KEY), "14 is no multiple of 10 classes"),
        (lambda: partition.shards(np.repeat([0, 1, 2], [9, 1, 9]), 3, 2, KEY), "class 1 has 1 samples for 2 shards"),
        (lambda: dirichlet_partition.dirichlet(BALANCED, 10, 0.1, 61, KEY), "do not give 10 clients 61 each"),
        (
            lambda: dirichlet_partition.dirichlet(BALANCED, 60, 0.01, 10, KEY),
            "no Dirichlet draw of 1000 with alpha 0.01",
        ),
        (lambda: dirichlet_partition.dirichlet(BALANCED, 10, 0.0, 1, KEY), "alpha 0.0"),
        (lambda: dirichlet_partition.dirichlet_equal(BALANCED, 601, 1.0, KEY), "do not serve 601 clients"),
        (lambda: dirichlet_partition.dirichlet_sampled(BALANCED, 10, 0.1, 5, 6, KEY), "do not give 10 clients 6 each"),
        (lambda: partition.labels_removed(BALANCED, 4, 151, 3, 2, KEY), "more than the 600"),
        (lambda: partition.labels_removed(BALANCED, 4, 150, 10, 2, KEY), "10 target labels of 10 classes"),
        (lambda: partition.labels_removed(BALANCED, 4, 10, 3, 5, KEY), "are to be kept"),
        (lambda: partition.superclass(BALANCED, BALANCED // 5, 10, 31, [0], KEY), "class 0 has 60 samples, 62 are"),
        (lambda: partition.superclass(BALANCED, BALANCED // 5, 10, 3, [2], KEY), "superclass 2 has no samples"),
        (lambda: partition.few_per_class(BALANCED, 10, [0, 11], 3, KEY), "class 11 has 0 samples, 30 are asked for"),
        (lambda: partition.hold_out(BALANCED, 1.0, KEY), "share 1.0"),
        (lambda: partition.hold_out(BALANCED, 0.001, KEY), "0.001 of 60 samples of class 0 leaves none"),
    ],
)
def test_what_cannot_be_made_says_why(ask: object, words: str) -> None:
    assert callable(ask)
    with pytest.raises(BenchmarkError, match=words) as caught:
        ask()
    assert caught.value.user


def test_the_table_counts_classes_and_fingerprints_the_rows() -> None:
    labels = np.array([0, 1, 1, 0, 1])
    table = partition_table.split_table([np.array([0, 1]), np.array([2, 3, 4])], labels, ("cat", "dog"))
    # sha256 over 2, 0, 1, 3, 2, 3, 4 as little-endian int64: sizes stand before their rows.
    stream = b"".join(value.to_bytes(8, "little") for value in (2, 0, 1, 3, 2, 3, 4))
    assert table == {
        "rows": 5,
        "classes": ["cat", "dog"],
        "sha256": hashlib.sha256(stream).hexdigest(),
        "clients": [{"client": 0, "size": 2, "counts": [1, 1]}, {"client": 1, "size": 3, "counts": [1, 2]}],
    }


@pytest.mark.parametrize("count", [1, 7, 10, 123, 200, 1000, 1234, 1436])
def test_a_number_of_rows_is_taken_exactly_and_evenly(count: int) -> None:
    sizes = np.array([142, 146, 141, 147, 145, 146, 145, 143, 139, 144])  # digits without a tenth: 1,438 rows
    labels = np.repeat(np.arange(10), sizes)
    rest, taken = take(labels, count, KEY)
    assert len(taken) == count
    assert_disjoint([rest, taken], labels, used=1438)
    assert np.abs(np.bincount(labels[taken], minlength=10) - sizes * count / 1438).max() < 1


def test_where_rounding_gives_the_number_both_ways_take_the_same_rows() -> None:
    # 30 % of 60, 40 and 110 rows are 18, 12 and 33: nothing is left to round.
    labels = np.repeat([0, 1, 2], [60, 40, 110])
    exact, rounded = take(labels, 63, KEY), partition.hold_out(labels, 0.3, KEY)
    assert all(np.array_equal(one, other) for one, other in zip(exact, rounded, strict=True))

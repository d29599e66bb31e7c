"""Streams: what a batch holds, in which order, and that nothing but the key decides it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.data.augment import Augment
from benchmark.core.data.batches import Stream
from benchmark.core.keys import Key

KEY = Key(0)("stream")
EVERYTHING = Augment(crop=2, flip=True, cutout=2, brightness=0.4, contrast=0.4, grey=0.2)


def stream(size: int = 10, augment: Augment | None = None, order: str = "shuffled") -> Stream:
    """Colour images of 6 x 6 pixels; the first byte of an image is its row."""
    pixels = torch.from_numpy(Key(0)("pixels").numpy().integers(0, 256, (size, 6, 6, 3), dtype=np.uint8))
    pixels[:, 0, 0, 0] = torch.arange(size)
    labels = torch.arange(size) % 3
    return Stream(pixels, labels, classes=3, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0), augment=augment, order=order)


def test_images_are_normalised_per_channel_in_channels_last_memory() -> None:
    images = torch.tensor([[[[0, 51, 255]]], [[[255, 255, 51]]]], dtype=torch.uint8)  # two images of one pixel
    one = Stream(images, torch.tensor([0, 1]), classes=2, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    # (0 - 0.5) / 0.5 = -1, (0.2 - 0.25) / 0.25 = -0.2, 1; (1 - 0.5) / 0.5 = 1, (1 - 0.25) / 0.25 = 3, 0.2
    expected = torch.tensor([[-1, -0.2, 1], [1, 3, 0.2]])
    torch.testing.assert_close(one.inputs().reshape(2, 3), expected)
    x = stream().inputs()
    assert x.shape == (10, 3, 6, 6) and x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(stream().inputs(torch.tensor([7, 2])), x[[7, 2]])


def test_real_numbers_pass_as_they_are() -> None:
    images = torch.randn(4, 2, 2, 3, generator=KEY.torch())
    plain = Stream(images, torch.zeros(4, dtype=torch.int64), classes=1, mean=(9.0,) * 3, std=(9.0,) * 3)
    assert torch.equal(plain.inputs(), images.permute(0, 3, 1, 2))


def test_hidden_labels_are_counted_nowhere() -> None:
    hidden = Stream(stream().pixels, torch.full((10,), -1), classes=3, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert hidden.counts.tolist() == [0, 0, 0] and stream().counts.tolist() == [4, 3, 3]


@given(st.integers(1, 20), st.integers(1, 7), st.integers(1, 3))
def test_an_epoch_takes_every_row_once(size: int, batch: int, epochs: int) -> None:
    data = stream(size)
    batches = list(data.batches(KEY, batch, data.steps(epochs, batch)))
    per_epoch = -(-size // batch)
    assert len(batches) == epochs * per_epoch
    for epoch in range(epochs):
        own = batches[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(torch.cat([b.rows for b in own]).tolist()) == list(range(size))
        assert [len(b.rows) for b in own[:-1]] == [batch] * (per_epoch - 1)
        assert len(own[-1].rows) == size - batch * (per_epoch - 1)


def test_rows_tell_which_images_and_labels_a_batch_holds() -> None:
    data = stream()
    for batch in data.batches(KEY, 4, 3):
        assert torch.equal(batch.x, data.inputs(batch.rows)) and torch.equal(batch.y, batch.rows % 3)
        assert batch.mask is None and batch.other is None


def test_the_key_decides_the_order_and_epochs_differ() -> None:
    def orders(key: Key) -> list[list[int]]:
        batches = list(stream().batches(key, 10, 3))
        return [batch.rows.tolist() for batch in batches]

    assert orders(KEY) == orders(KEY) != orders(KEY("other"))
    assert len({tuple(order) for order in orders(KEY)}) == 3
    assert orders(KEY)[1] == KEY("epoch", 1, "shuffle").permutation(10).tolist()


def test_stored_order_stays() -> None:
    rows = [batch.rows.tolist() for batch in stream(5, order="stored").batches(KEY, 2, 6)]
    assert rows == [[0, 1], [2, 3], [4]] * 2


def test_a_single_sample_can_be_left_out() -> None:
    sizes = [len(batch.rows) for batch in stream(9).batches(KEY, 4, 6, skip_single=True)]
    assert sizes == [4, 4, 4, 4] and [len(b.rows) for b in stream(9).batches(KEY, 4, 3)] == [4, 4, 1]
    assert [len(b.rows) for b in stream(10).batches(KEY, 4, 3, skip_single=True)] == [4, 4, 2]


def test_augmentation_is_keyed_too_and_changes_from_epoch_to_epoch() -> None:
    data = stream(augment=EVERYTHING)
    first, again = (list(data.batches(KEY, 4, 6)) for _ in range(2))
    assert all(torch.equal(a.x, b.x) for a, b in zip(first, again, strict=True))
    epochs = []
    for part in (first[:3], first[3:]):
        order = torch.cat([b.rows for b in part]).argsort()
        epochs.append(torch.cat([b.x for b in part])[order])
    assert not torch.equal(*epochs)
    assert all(b.x.is_contiguous(memory_format=torch.channels_last) for b in first)
    plain = next(iter(data.batches(KEY, 4, 1, augment=False)))
    assert torch.equal(plain.x, data.inputs(plain.rows))


def test_draws_change_from_epoch_to_epoch_also_in_stored_order() -> None:
    first, second = stream(augment=Augment(crop=2, flip=True), order="stored").batches(KEY, 10, 2)
    assert torch.equal(first.rows, second.rows) and not torch.equal(first.x, second.x)


def test_colours_change_before_normalisation_and_squares_are_cut_after_it() -> None:
    data = stream(augment=Augment(brightness=0.5, contrast=0.5))
    data.pixels.zero_()
    (black,) = data.batches(KEY, 10, 1)  # no factor makes black another colour
    assert torch.equal(black.x, data.inputs())
    (hidden,) = stream(augment=Augment(cutout=12)).batches(KEY, 10, 1)  # covers all 6 x 6 pixels, wherever its centre
    assert not hidden.x.any()  # the mean pixel, not a black one


def test_parts_and_unions_are_fed_as_their_stream_is() -> None:
    data = stream(augment=EVERYTHING, order="stored")
    for other in (data.restricted(torch.tensor([3, 1])), data.joined(data.pixels[:2], data.labels[:2])):
        assert other.augment == EVERYTHING and other.order == "stored" and other.classes == 3
        assert torch.equal(other.mean, data.mean) and torch.equal(other.std, data.std)


def test_looks_pass_every_row_once_in_order_and_never_augmented() -> None:
    data = stream(augment=EVERYTHING)
    batches = list(data.eval_batches(4))
    assert torch.equal(torch.cat([b.rows for b in batches]), torch.arange(10))
    assert torch.equal(torch.cat([b.x for b in batches]), data.inputs())


def test_views_are_two_of_the_same_images_and_one_of_independent_ones_without_labels() -> None:
    data = stream(augment=Augment(flip=True))
    for batch in data.views(KEY, 8, 4):  # half of a batch are anchors, half are independent
        assert batch.other is not None and batch.random is not None
        assert len(batch.x) == len(batch.other) == len(batch.random) == 4 and (batch.y == -1).all()
        plain = data.inputs(batch.rows)
        for view in (batch.x, batch.other):
            same = (view == plain).flatten(1).all(1) | (view == plain.flip(3)).flatten(1).all(1)
            assert same.all()
    views = list(data.views(KEY, 8, 4))
    assert any(not torch.equal(batch.x, batch.other) for batch in views if batch.other is not None)
    again = list(data.views(KEY, 8, 4))
    assert all(torch.equal(a.random, b.random) for a, b in zip(views, again, strict=True))  # type: ignore[arg-type]


def test_the_independent_images_of_views_have_an_order_of_their_own() -> None:
    data = stream(8)
    for epoch, batch in enumerate(data.views(KEY, 16, 3)):  # without augmentation a view is the image itself
        orders = [torch.from_numpy(key("epoch", epoch, "shuffle").permutation(8)) for key in (KEY, KEY("random"))]
        assert torch.equal(batch.x, data.inputs(orders[0])) and torch.equal(batch.other, batch.x)
        assert torch.equal(batch.random, data.inputs(orders[1])) and not torch.equal(*orders)


def test_a_restricted_stream_counts_positions_anew() -> None:
    part = stream().restricted(torch.tensor([8, 3, 5]))
    assert part.size == 3 and part.labels.tolist() == [2, 0, 2] and part.counts.tolist() == [1, 0, 2]
    assert part.pixels[:, 0, 0, 0].tolist() == [8, 3, 5]
    assert torch.equal(part.inputs(), stream().inputs(torch.tensor([8, 3, 5])))


@pytest.mark.parametrize("batch", [3, 5, 100])
def test_more_steps_than_epochs_go_on_with_the_next_epoch(batch: int) -> None:
    data = stream(5)
    steps = [b.rows.tolist() for b in data.batches(KEY, batch, 7)]
    epochs = [b.rows.tolist() for b in data.batches(KEY, batch, data.steps(7, batch))]
    assert steps == epochs[:7]


@pytest.mark.parametrize(
    ("size", "batch", "epochs", "steps"),
    [(10, 8, 3, 6), (8, 8, 1, 2), (10, 20, 2, 2), (3, 8, 4, 4), (9, 5, 1, 4)],  # anchors in a batch: 4, 4, 10, 4, 2
)
def test_an_epoch_of_views_has_whole_batches_or_a_single_short_one(
    size: int, batch: int, epochs: int, steps: int
) -> None:
    data = stream(size)
    assert data.view_steps(epochs, batch) == steps
    views = list(data.views(KEY, batch, steps))
    each = steps // epochs
    for epoch in range(epochs):
        rows = [one.rows for one in views[epoch * each : (epoch + 1) * each]]
        assert {len(part) for part in rows} == {min(size, batch // 2)}
        assert len(set(torch.cat(rows).tolist())) == each * min(size, batch // 2)  # none twice

"""Augmentation: windows of the padded image, mirrors, squares where the published rule puts them."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmark.core.data.augment import Augment, _turned
from benchmark.core.keys import Key


def draw(name: object = 0) -> np.random.Generator:
    return Key(0)("augment", str(name)).numpy()


def images(count: int = 8, side: int = 6, channels: int = 3) -> Tensor:
    """Bytes from 1 to 255, so that zero is padding."""
    noise = draw("images").integers(1, 256, (count, side, side, channels), dtype=np.uint8)
    return torch.from_numpy(noise)


@pytest.mark.parametrize(("pad", "mode"), [("zero", "constant"), ("reflect", "reflect")])
@given(st.integers(1, 4))
def test_a_crop_is_a_window_of_the_padded_image(pad: str, mode: str, width: int) -> None:
    given_, cropped = images(), Augment(crop=width, pad=pad).geometry(images(), draw(width))  # type: ignore[arg-type]
    assert cropped.shape == given_.shape and cropped.dtype == torch.uint8
    for before, after in zip(given_.numpy(), cropped.numpy(), strict=True):
        padded = np.pad(before, ((width, width), (width, width), (0, 0)), mode=mode)  # type: ignore[call-overload]
        places = range(2 * width + 1)
        windows = [padded[y : y + 6, x : x + 6] for y in places for x in places]
        assert any(np.array_equal(after, window) for window in windows)


def test_all_windows_come_up() -> None:
    # 900 crops of 9 windows: 100 expected of each, standard deviation sqrt(900 * 1/9 * 8/9) = 9.4
    one = torch.zeros(1, 3, 3, 1, dtype=torch.uint8)
    one[0, 1, 1] = 1
    cropped = Augment(crop=1).geometry(one.expand(900, 3, 3, 1), draw())
    counts = cropped.long().sum(0).squeeze()
    assert counts.sum() == 900 and counts.min() > 50 and counts.max() < 150


def test_a_flip_mirrors_columns_of_about_every_second_image() -> None:
    before = images(400)
    after = Augment(flip=True).geometry(before, draw())
    mirrored = (after == before.flip(2)).flatten(1).all(1)
    unchanged = (after == before).flatten(1).all(1)
    assert (mirrored ^ unchanged).all()
    assert 150 < mirrored.sum() < 250  # 200 expected, standard deviation 10


@pytest.mark.parametrize("side", [4, 16])
def test_cutout_hides_the_published_square(side: int) -> None:
    # Published: rows y - side / 2 up to but without y + side / 2, clipped to the image, y anywhere; columns alike.
    half = side // 2
    erased = Augment(cutout=side).erase(torch.ones(300, 2, 32, 32), draw(side))
    heights = set()
    for image in erased:
        hidden = image[0] == 0
        assert torch.equal(hidden, image[1] == 0)
        rows, cols = hidden.any(1).nonzero().flatten().tolist(), hidden.any(0).nonzero().flatten().tolist()
        assert int(hidden.sum()) == len(rows) * len(cols)  # a rectangle
        for span in (rows, cols):
            assert span == list(range(span[0], span[-1] + 1))
            inside = span[0] > 0 and span[-1] < 31
            assert len(span) == side if inside else half <= len(span) <= side
        heights.add(len(rows))
    # y = 0 hides rows 0 .. half - 1, y = 31 hides 31 - half .. 31
    assert heights == set(range(half, side + 1))


def test_the_square_of_a_known_centre() -> None:
    class Fixed(np.random.Generator):
        def integers(self, *_: object, **__: object) -> np.ndarray:  # type: ignore[override]
            return np.array([[0, 20, 31], [5, 16, 30]])  # centres (0, 5), (20, 16) and (31, 30)

    hidden = Augment(cutout=16).erase(torch.ones(3, 1, 32, 32), Fixed(np.random.Philox(0))) == 0
    expected = torch.zeros(3, 1, 32, 32, dtype=torch.bool)
    expected[0, :, 0:8, 0:13] = True  # rows -8 .. 7, columns -3 .. 12
    expected[1, :, 12:28, 8:24] = True
    expected[2, :, 23:32, 22:32] = True  # rows 23 .. 38, columns 22 .. 37
    assert torch.equal(hidden, expected)


def test_brightness_scales_contrast_spreads_grey_forgets_colour() -> None:
    x = torch.rand(50, 3, 4, 4, generator=Key(0)("x").torch()) * 0.4 + 0.2
    bright = Augment(brightness=0.5).colour(x, draw())
    factors = (bright / x).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))  # 1.5 * 0.6 < 1: nothing is clipped
    assert factors.min() > 0.499 and factors.max() < 1.501 and factors[:, 0].std() > 0.2
    middle = x.mean((1, 2, 3), keepdim=True)
    spread = Augment(contrast=0.1).colour(x, draw())
    torch.testing.assert_close(spread.mean((1, 2, 3), keepdim=True), middle)
    assert ((spread - middle).abs() <= 1.1 * (x - middle).abs() + 1e-6).all()
    grey = Augment(grey=0.5).colour(x, draw())
    turned = (grey == grey[:, :1]).flatten(1).all(1)
    assert 10 < turned.sum() < 40
    torch.testing.assert_close(grey[turned], x[turned].mean(1, keepdim=True).expand(-1, 3, -1, -1))
    assert torch.equal(grey[~turned], x[~turned])


def test_colours_stay_in_range() -> None:
    x = torch.rand(20, 3, 4, 4, generator=Key(0)("x").torch())
    wild = Augment(brightness=0.9, contrast=0.9).colour(x, draw())
    assert wild.min() >= 0 and wild.max() <= 1


class Drawn:
    """Draws that somebody wrote down, in place of a generator's; `random` chooses every image."""

    def __init__(self, *numbers: list[list[float]]) -> None:
        self.numbers = [np.array(each) for each in numbers]

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> np.ndarray:
        number = self.numbers.pop(0).reshape(size)
        assert ((low <= number) & (number <= high)).all()
        return number

    def random(self, count: int) -> np.ndarray:
        return np.zeros(count)


def test_a_resized_crop_is_a_box_seen_in_full_size() -> None:
    # Area 1/4 and ratio 1 give half of either side. Of a row 0, 12, 24, 36 the box from its start has two pixels, seen
    # at -1/4, 1/4, 3/4 and 5/4 of their distance from the first one's middle: 0 (nothing lies before it), 3, 9 and 15.
    # A start at 2/3 of the half that is left is 4/3 pixels further on: 13/12, 19/12, 25/12 and 31/12.
    image = torch.tensor([0, 12, 24, 36], dtype=torch.uint8).expand(1, 4, 4).unsqueeze(-1)
    known: Any = Drawn([[0.25], [0.25]], [[0.0], [0.0]], [[0.0, 0.0], [2 / 3, 1.0]])
    cropped = Augment(resized_crop=0.2).geometry(image.expand(2, 4, 4, 1), known)
    assert cropped.dtype == torch.uint8
    assert cropped[0, :, :, 0].tolist() == [[0, 3, 9, 15]] * 4
    assert cropped[1, :, :, 0].tolist() == [[13, 19, 25, 31]] * 4
    whole: Any = Drawn([[1.0]], [[0.0]], [[0.3, 0.3]])
    assert torch.equal(Augment(resized_crop=0.2).geometry(image, whole), image)
    stored: Any = Drawn([[1.0]], [[0.0]], [[0.3, 0.3]])
    assert torch.allclose(Augment(resized_crop=0.2).geometry(image / 7, stored), image / 7, atol=1e-5)


@given(st.integers(0, 50))
def test_resized_crops_stay_among_the_image_s_values_and_repeat_with_their_key(seed: int) -> None:
    augment = Augment(resized_crop=0.08, flip=True)
    first, again = (augment.geometry(images(), draw(seed)) for _ in range(2))
    assert torch.equal(first, again) and first.shape == images().shape
    assert first.min() >= images().min() and first.max() <= images().max()


def test_jitter_by_hand() -> None:
    # Strength 1/2: factors in [0.6, 1.4], hue by up to a tenth of a circle. Of the only pixel (0.5, 0.25, 0.25)
    # brightness 1.2 makes (0.6, 0.3, 0.3) with mean 0.4; contrast 0.75 about it (0.55, 0.325, 0.325); saturation 0.6
    # about the pixel's mean, 0.4 as well, (0.49, 0.355, 0.355). Hue by 1/12 of a circle, half of a sixth from red
    # towards yellow: green rises by half of the chroma 0.135 to 0.4225.
    pixel = torch.tensor([0.5, 0.25, 0.25]).view(1, 3, 1, 1)
    drawn: Any = Drawn([[1.2]], [[0.75]], [[0.6]], [[1 / 12]])
    expected = torch.tensor([0.49, 0.4225, 0.355]).view(1, 3, 1, 1)
    torch.testing.assert_close(Augment(jitter=0.5).colour(pixel, drawn), expected)


@pytest.mark.parametrize("turn", [-0.2, -0.05, 0.1, 0.2])
def test_hues_turn_as_the_standard_library_turns_them(turn: float) -> None:
    x = torch.rand(4, 3, 5, 5, generator=Key(0)("hue").torch())
    ours = _turned(x, torch.full((4, 1, 1, 1), turn)).permute(0, 2, 3, 1).reshape(-1, 3).tolist()
    for before, after in zip(x.permute(0, 2, 3, 1).reshape(-1, 3).tolist(), ours, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        assert after == pytest.approx(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), abs=1e-5)


def test_jitter_leaves_a_fifth_of_the_images_and_one_channel_has_no_hue() -> None:
    x = torch.rand(400, 3, 2, 2, generator=Key(0)("x").torch())
    same = (Augment(jitter=1.0).colour(x, draw()) == x).flatten(1).all(1)
    assert 48 < same.sum() < 112  # 80 expected, standard deviation 8
    grey = Augment(jitter=1.0).colour(x[:, :1], draw())
    assert grey.shape == (400, 1, 2, 2) and grey.min() >= 0 and grey.max() <= 1


def test_nothing_to_do_draws_nothing() -> None:
    nothing, generator = Augment(pad="reflect"), draw()
    x = torch.rand(2, 3, 4, 4)
    assert nothing.none and not Augment(flip=True).none
    assert nothing.geometry(images(), generator) is not None and torch.equal(nothing.colour(x, generator), x)
    assert torch.equal(nothing.erase(x, generator), x) and generator.random() == draw().random()

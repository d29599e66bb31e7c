"""What users register is checked when it is read: a fault has a sentence that names split and row, class or channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmark.core import registry
from benchmark.core.data.manifest import registered
from benchmark.core.data.registered_data import registered_arrays, registered_partition
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key


def content(count: int = 6, classes: int = 3) -> dict[str, Any]:
    """Two splits of noise, 4 x 5 pixels in two channels, every class in both."""
    draw = np.random.default_rng(0)
    return {
        name: (draw.integers(0, 256, (count, 4, 5, 2), np.uint8), np.arange(count) % classes)
        for name in ("train", "test")
    }


def changed(split: str, change: Callable[[np.ndarray, np.ndarray], Any]) -> dict[str, Any]:
    """The content with another value for a split."""
    parts = content()
    return {**parts, split: change(*parts[split])}


def at(labels: np.ndarray, row: int, value: int) -> np.ndarray:
    changed = labels.copy()
    changed[row] = value
    return changed


def test_sound_data_pass_and_need_not_be_square() -> None:
    info, arrays = registered(content)
    assert info.shape == (4, 5, 2) and info.classes == ("0", "1", "2") and set(arrays) == {"train", "test"}
    assert info.splits["test"].class_counts == (2, 2, 2)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (changed("train", lambda x, y: (x, y + 1)), "train has no image of class 0, of 4 classes"),
        (changed("test", lambda x, y: (x, at(y, 2, 0) % 2)), "test has no image of class 2, of 3 classes"),
        (changed("train", lambda x, y: (x, at(y, 4, 5))), "train has no image of class 3"),
        (changed("test", lambda x, y: (x, at(y, 3, -1))), "test: 1 labels are outside of 0..255, .* -1 in row 3"),
        (changed("train", lambda x, y: (x, at(y, 5, 256))), "the first is 256 in row 5"),
        (changed("train", lambda x, y: (x, y[:, None])), r"train: labels are int64 of shape \(6, 1\)"),
        (changed("train", lambda x, y: (x, y.astype(float))), "train: labels are float64"),
        (changed("train", lambda x, y: (x, y.astype(str))), "train: labels are <U"),
        (changed("test", lambda x, y: (x, y[:5])), "test: 6 images have 5 labels"),
        (changed("test", lambda x, y: (x[:, :3], y)), r"train have shape \(4, 5, 2\), those of test"),
        (changed("test", lambda x, y: (x[:0], y[:0])), "test: holds no images"),
        (changed("test", lambda x, y: (x / 255, y)), "test: images are float64"),
        (changed("train", lambda x, y: (x * np.array([1, 0], np.uint8), y)), "train: channel 1 is 0 in every pixel"),
        (changed("train", lambda x, y: (x | np.array([255, 0], np.uint8), y)), "channel 0 is 255 in every pixel"),
        (changed("train", lambda x, y: x), "train: is no pair of images and labels"),
        ({"train": content()["train"]}, "it holds train, expected train and test"),
        ({**content(), "valid": content()["test"]}, "it holds train, test, valid, expected"),
        (None, "it holds NoneType"),
    ],
)  # fmt: skip
def test_a_fault_of_the_data_is_named(parts: Any, words: str) -> None:
    with pytest.raises(BenchmarkError, match=words) as caught:
        registered_arrays(lambda: parts)
    assert caught.value.user and caught.value.hint


def test_256_classes_are_the_most_and_a_function_that_fails_is_named() -> None:
    full = content(512, 256)
    assert len(registered(lambda: full)[0].classes) == 256

    def mine() -> Any:
        raise KeyError("pixels")

    with pytest.raises(BenchmarkError, match=r"registered dataset \(mine\): cannot be read \(KeyError: 'pixels'\)"):
        registered_arrays(mine)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([np.arange(3), np.arange(3, 6)], ""),
        ([np.arange(3), []], "serves 1 clients of 2"),
        ([np.arange(3), np.arange(3) > 1], "gives client 1 bool"),
        ([np.arange(3), [3.0, 4.0]], "gives client 1 float64"),
        ([np.arange(3), [[3], [4]]], r"gives client 1 int64 of shape \(2, 1\)"),
        ([np.arange(3), [6]], "one that is none of 0..5"),
        (7, r"fails \(TypeError"),
    ],
)
def test_rows_of_a_registered_partition(rows: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_EXTENSIONS", {("partition", "mine"): lambda labels, clients, key: rows})
    labels = np.arange(6) % 3
    if not words:
        assert [part.tolist() for part in registered_partition("mine", {}, labels, 2, Key(0))] == [[0, 1, 2], [3, 4, 5]]
        return
    with pytest.raises(BenchmarkError, match=words):
        registered_partition("mine", {}, labels, 2, Key(0))

"""The manifest: published counts, canonical order and fingerprints by hand, mismatches that say which fact fails."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.data.manifest import (
    DatasetInfo,
    SplitInfo,
    canonical_order,
    check,
    dataset_info,
    fingerprint,
    manifest,
)
from benchmark.core.errors import BenchmarkError

PIXELS = np.array([0, 1, 2], np.uint8).reshape(3, 1, 1, 1)
SHARED = Path(__file__).parents[4] / "shared" / "data" / "MANIFEST.json"
SHARED_DATASETS = json.loads(SHARED.read_text())["datasets"] if SHARED.exists() else {}


def one_split(fingerprint: str | None) -> DatasetInfo:
    """Three grey pixels: one of class 0, two of class 1."""
    split = SplitInfo(n=3, class_counts=(1, 2), fingerprint=fingerprint)
    return DatasetInfo(origin="", classes=("a", "b"), shape=(1, 1, 1), mean=(0.0,), std=(1.0,), splits={"train": split})


def test_canonical_order_follows_the_sha256_of_each_image_then_the_label() -> None:
    # sha256 of the bytes 00, 01 and 02 begins with 6e34, 4bf5 and dbc1.
    images, labels = canonical_order(np.concatenate([PIXELS, PIXELS[:1]]), np.array([7, 8, 9, 3]))
    assert images.ravel().tolist() == [1, 0, 0, 2]
    assert labels.tolist() == [8, 3, 7, 9]
    assert labels.dtype == np.uint8


def test_the_fingerprint_is_over_images_then_labels() -> None:
    assert fingerprint(PIXELS, np.array([1, 0, 1])) == hashlib.sha256(bytes([0, 1, 2, 1, 0, 1])).hexdigest()


def test_check_returns_the_fingerprint_of_what_is_right() -> None:
    images, labels = canonical_order(PIXELS, np.array([1, 0, 1]))
    known = fingerprint(images, labels)
    assert check(one_split(known), "train", images, labels) == known
    assert check(one_split(None), "train", images, labels) == known


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (PIXELS[:2], [1, 0], r"train has uint8 images of shape \(2, 1, 1, 1\), expected \(3, 1, 1, 1\)"),
        (PIXELS.astype(float), [1, 0, 1], "float64 images"),
        (PIXELS, [0, 0, 1], "train has 2 images of class 0"),
        (PIXELS, [0, 1, 2], "train has 1 images of class 1"),
        (PIXELS, [0, 1, 1], "train has fingerprint [0-9a-f]{12}…, expected 000000000000…"),
    ],
)
def test_a_mismatch_says_which_fact_fails(images: np.ndarray, labels: list[int], words: str) -> None:
    with pytest.raises(BenchmarkError, match=words) as caught:
        check(one_split("0" * 64), "train", images, np.array(labels))
    assert not caught.value.user


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(BenchmarkError, match=r"unknown dataset 'cifar-10'; did you mean cifar10\?"):
        dataset_info("cifar-10")
    with pytest.raises(BenchmarkError, match="known: digits, mnist"):
        dataset_info("qqqq")


# Train and test sizes as their makers published them; 1,797 digits, of which every fifth is a test image: 359.
PUBLISHED = {
    "digits": (1797 - 359, 359),
    "mnist": (60_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "svhn10k": (8_000, 2_000),
    "svhn": (73_257, 26_032),
}


@pytest.mark.parametrize("name", manifest())
def test_counts_are_the_published_ones(name: str) -> None:
    known = dataset_info(name)
    assert (known.splits["train"].n, known.splits["test"].n) == PUBLISHED[name]
    for split in known.splits.values():
        assert sum(split.class_counts) == split.n
        assert len(split.class_counts) == len(known.classes)
    assert len(known.mean) == len(known.std) == known.shape[2]
    assert known.complete is (name != "svhn")


def test_cifar100_has_five_classes_in_each_of_twenty_superclasses() -> None:
    known = dataset_info("cifar100")
    assert known.coarse is not None and known.coarse_classes is not None
    assert np.bincount(known.coarse).tolist() == [5] * 20
    trees = {known.classes[c] for c in range(100) if known.coarse_classes[known.coarse[c]] == "trees"}
    assert trees == {"maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"}


@pytest.mark.parametrize("name", SHARED_DATASETS)
def test_the_manifest_agrees_with_the_mirror_s_own(name: str) -> None:
    theirs, ours = SHARED_DATASETS[name], dataset_info(name)
    assert list(ours.classes) == theirs["class_names"]
    assert list(ours.mean) == theirs["splits"]["train"]["mean"]
    for split, entry in theirs["splits"].items():
        assert ours.splits[split].fingerprint == entry["fingerprint"]
        assert list(ours.splits[split].class_counts) == entry["class_counts"]

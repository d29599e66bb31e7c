"""Checks of datasets that do not come from the manifest: all misfits of images and labels, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

CLASSES = 256  # labels are stored as uint8
SPLITS = ("train", "test")


def array_faults(arrays: Mapping[str, tuple[Any, Any]], classes: Sequence[str] = ()) -> list[str]:
    """Every misfit of a decoded dataset, in words; [] if there is none.

    Args:
        arrays: "train" and "test", each with images, uint8 [n, height, width, channels], and labels, integers [n].
        classes: Names of the classes; by default their numbers, up to the largest label.
    """
    if not isinstance(arrays, Mapping) or set(arrays) != set(SPLITS):
        given = ", ".join(map(str, arrays)) if isinstance(arrays, Mapping) else type(arrays).__name__
        return [f"it holds {given or 'nothing'}, expected train and test"]
    faults = [f"{split}: {fault}" for split in SPLITS for fault in split_faults(arrays[split])]
    return faults or list(_misfits(arrays, classes))


def split_faults(rows: Any) -> Iterator[str]:
    """What is wrong with the images and labels of one split, in words."""
    if not isinstance(rows, tuple | list) or len(rows) != 2:
        yield "is no pair of images and labels"
        return
    images, labels = (np.asarray(array) for array in rows)
    if images.ndim != 4 or images.dtype != np.uint8:
        yield f"images are {images.dtype} of shape {images.shape}, expected uint8 (n, height, width, channels)"
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        yield f"labels are {labels.dtype} of shape {labels.shape}, expected integers (n,)"
        return
    if len(images) != len(labels):
        yield f"{len(images)} images have {len(labels)} labels"
    if not len(labels):
        yield "holds no images"
    elif labels.min() < 0 or labels.max() >= CLASSES:
        wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
        first = f"the first is {labels[wrong[0]]} in row {wrong[0]}"
        yield f"{len(wrong)} labels are outside of 0..{CLASSES - 1}, {first}"


def _misfits(arrays: Mapping[str, tuple[Any, Any]], names: Sequence[str]) -> Iterator[str]:
    """Where the two splits do not belong together."""
    (train, train_labels), (test, test_labels) = (tuple(map(np.asarray, arrays[split])) for split in SPLITS)
    if train.shape[1:] != test.shape[1:]:
        yield f"images of train have shape {train.shape[1:]}, those of test {test.shape[1:]}"
    classes = len(names) or int(max(train_labels.max(), test_labels.max())) + 1
    if classes < 2:
        yield "all images are of one class, a task needs two"
    for split, labels in zip(SPLITS, (train_labels, test_labels), strict=True):
        missing = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
        if len(missing):
            listed = ", ".join(str(names[c] if names else c) for c in missing[:5])
            yield f"{split} has no image of class {listed}{', ...' * (len(missing) > 5)}, of {classes} classes"
    for channel in np.flatnonzero(train.min((0, 1, 2)) == train.max((0, 1, 2))):
        yield f"train: channel {channel} is {train[0, 0, 0, channel]} in every pixel and cannot be normalised"

"""What the judged models of a run answer to the test images: kept beside a record if asked for, read by metrics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import replacing


@dataclass(frozen=True, eq=False)
class Predictions:
    """Answers of the judged models after the last round.

    Attributes:
        logits: Logits [models, n, classes], float32.
        labels: Labels of the test images [n], int64.
        clients: Client of each model [models], int64; -1 for a model that is common to all.
        shares: Share of each class [models, classes] among the client's own images; among all clients' for a common
            model.
    """

    logits: np.ndarray
    labels: np.ndarray
    clients: np.ndarray
    shares: np.ndarray

    def accuracies(self) -> np.ndarray:
        """Accuracy of every model [models], each class weighted by its share among the client's own images."""
        right = self.logits.argmax(2) == self.labels
        classes = self.logits.shape[2]
        rows = [self.labels == c for c in range(classes)]
        hits = np.stack([right[:, of].sum(1) / max(of.sum(), 1) for of in rows], axis=1)
        accuracies: np.ndarray = (hits * self.shares).sum(1)
        return accuracies


def path_of(record: Path) -> Path:
    """Where the predictions of a record are."""
    return record.with_suffix(".predictions.npz")


def write(predictions: Predictions, record: Path) -> None:
    """Keep predictions beside a record."""
    path = path_of(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.savez_compressed(file, **vars(predictions))


def read(record: Path) -> Predictions | None:
    """The predictions beside a record; None if there are none, BenchmarkError if they are damaged."""
    path = path_of(record)
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Predictions(**{name: arrays[name] for name in Predictions.__dataclass_fields__})
    except (OSError, ValueError, KeyError) as error:
        hint = "delete the file and run the cell again"
        raise BenchmarkError(f"holds no predictions ({error})", where=str(path), hint=hint, user=False) from None

"""Predictions of a finished run: its judged models on all test images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmark.core.backends.jobs import PredictJob
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage import serialization
from benchmark.records.predictions import Predictions

if TYPE_CHECKING:
    from benchmark.core.server.rounds import Run


def predict(run: Run) -> Predictions:
    """Let the judged models of a finished run answer to all test images.

    Raises:
        BenchmarkError: The track judges features, not answers.
    """
    federation = run.federation
    if federation.task.track == "unsupervised":
        hint = "leave the predictions out; the record has what the probe gives"
        raise BenchmarkError("the track unsupervised judges features by a probe", where=federation.task.name, hint=hint)
    common = run.evaluated_models == "common"
    models = run.evaluator.judged_models(run.server, run.memories)
    jobs = [PredictJob(who.arch, serialization.encode(model, f"model {who.arch}").data) for who, model in models]
    counts = np.array(
        [_counts(federation.data.private.labels[rows], federation.data.classes) for rows in federation.parts]
    )
    own = counts.sum(0, keepdims=True) if common else counts[[who.id for who, _ in models]]
    return Predictions(
        logits=np.stack(run.backend.map(jobs)),
        labels=federation.test.labels.numpy(),
        clients=np.array([-1] if common else [who.id for who, _ in models]),
        shares=own / own.sum(1, keepdims=True),
    )


def _counts(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels, minlength=classes)

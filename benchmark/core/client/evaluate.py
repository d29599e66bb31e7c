"""Judging models and summing up a run. Accuracies in [0, 1]; counts stay integers as long as possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmark.core.client.local_training import autocast
from benchmark.core.data.batches import Stream
from benchmark.core.errors import Diverged
from benchmark.core.models.functional import Model
from benchmark.core.tree import Tree

BATCH = 125  # fixed, so that the bits of a logit do not depend on who evaluates; 250 take 125 MB more and no less time
LAST = 5  # evaluations in the mean that is reported beside the final one


def correct(model: Model, params: Tree, stream: Stream, start: int, stop: int, precision: str) -> list[int]:
    """Correctly classified samples per class among rows start..stop-1 of a stream.

    Raises Diverged for answers that are not finite, which would count as the first class.
    """
    hits, sound = torch.zeros(stream.classes, dtype=torch.int64), torch.tensor(True)
    layout = {n: p.contiguous(memory_format=torch.channels_last) if p.dim() == 4 else p for n, p in params.items()}
    for rows in torch.arange(start, stop).split(BATCH):
        with autocast(precision):
            logits = model.frozen(layout, stream.inputs(rows)).logits
        right = stream.labels[rows][logits.argmax(1) == stream.labels[rows]]
        hits += torch.bincount(right, minlength=stream.classes)
        sound &= logits.isfinite().all()
    return counted(hits, sound)


def counted(hits: torch.Tensor, sound: torch.Tensor) -> list[int]:
    """Hits per class as integers; raises Diverged unless all answers were sound."""
    if not sound:
        raise Diverged("a judged model's answers are not finite", where="judging")
    return [int(count) for count in hits.tolist()]


def per_class(hits: Sequence[int], counts: Sequence[int]) -> list[float]:
    """Accuracy of each class that occurs in the test set."""
    return [round(hit / count, 6) for hit, count in zip(hits, counts, strict=True) if count]


def accuracy(hits: Sequence[int], counts: Sequence[int]) -> float:
    """Share of correct samples."""
    return sum(hits) / sum(counts)


def forgetting(course: Sequence[Sequence[float]]) -> float:
    """F = mean over classes of (best accuracy before the end - final accuracy); 0 with a single evaluation.

    course: accuracy per class at each evaluation, in time order
    """
    if len(course) < 2:
        return 0.0
    values = np.asarray(course)
    return float(np.mean(values[:-1].max(0) - values[-1]))


def local_accuracies(hits: Sequence[int], counts: Sequence[int], share: Sequence[float]) -> tuple[float, float]:
    """In-local sum_c p(c) A_c and out-local accuracy with weights (1 - p(c)) / (C - 1) of one client's model.

    share: p, the class distribution of the client's data
    Classes that the test set lacks (those that joint public labels append) do not count.
    Source: measures in the code published with FedNTD.
    """
    known = np.asarray(counts) > 0
    scores = np.asarray(hits)[known] / np.asarray(counts)[known]
    p = np.asarray(share)[known]
    return float(p @ scores), float((1 - p) @ scores / max(len(p) - 1, 1))


def gains(before: Sequence[float], after: Sequence[float]) -> dict[str, float]:
    """Mean gain over clients, and the share of clients that gain at all."""
    differences = [new - old for old, new in zip(before, after, strict=True)]
    gaining = sum(difference > 0 for difference in differences)
    return {
        "gain": round(sum(differences) / len(differences), 6), "share_gaining": round(gaining / len(differences), 6)
    }  # fmt: skip


def summary(evaluations: list[dict[str, Any]], targets: Sequence[float]) -> dict[str, Any]:
    """Final accuracy, mean of the last five, forgetting and its course, rounds and bytes to each target.

    A target counts as reached at the first evaluation that is strictly above it.
    """
    course = [entry["per_class"] for entry in evaluations]
    for number, entry in enumerate(evaluations):
        entry["forgetting"] = round(forgetting(course[: number + 1]), 6)
    last = evaluations[-LAST:]
    reached = [next((e for e in evaluations if e["accuracy"] > target), None) for target in targets]
    return {
        "accuracy": evaluations[-1]["accuracy"],
        "accuracy_last5": round(sum(entry["accuracy"] for entry in last) / len(last), 6),
        "forgetting": evaluations[-1]["forgetting"],
        "evaluations": evaluations,
        "targets": [
            {"accuracy": target, "round": entry["round"] if entry else None, "bytes": entry["bytes"] if entry else None}
            for target, entry in zip(targets, reached, strict=True)
        ],
    }

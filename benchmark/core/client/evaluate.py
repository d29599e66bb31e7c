"""Evaluation of models, and the summary of a run. Accuracies are in [0, 1].

`hits` and `counts` are numbers of correct and of all samples per class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.core import tree as trees
from benchmark.core.data.batches import Stream
from benchmark.core.errors import Diverged
from benchmark.core.models.functional import Model, autocast
from benchmark.core.tree import Tree

Predict = Callable[[Tree, Tensor, Model], Tensor]
BATCH = 125  # fixed, so that the bits of a logit do not depend on who evaluates; 250 take 125 MB more and no less time
BINS = 15  # of confidence, in the calibration error
LAST = 5  # evaluations in the mean that is reported with the final one


@dataclass(frozen=True)
class ClassSums:
    """What a model's answers add up to over test images, by true class.

    Attributes:
        hits: Correct answers, (classes,).
        nll: Sums of -log p of the true class, (classes,).
        gaps: Sums of correctness (0 or 1) minus confidence, by bin of confidence, (classes, BINS).
    """

    hits: list[int]
    nll: list[float]
    gaps: list[list[float]]


def logits(
    model: Model, params: Tree, stream: Stream, start: int, stop: int, precision: str, predict: Predict | None = None
) -> Tensor:
    """A model's answers to some images of a stream.

    Args:
        model: The network.
        params: Its parameters and buffers.
        stream: The images.
        start: The first row.
        stop: The row after the last.
        precision: "fp32", "bf16" or "tf32".
        predict: The method's inference; None takes the network's logits.

    Returns:
        Logits (rows, classes).
    """
    params, answers = channels_last(params), []
    for rows in torch.arange(start, stop).split(BATCH):
        with autocast(precision):
            x = stream.inputs(rows)
            answers.append(predict(params, x, model).detach() if predict else model.frozen(params, x).logits)
    return torch.cat(answers)


def channels_last(params: Tree) -> Tree:
    """Parameters in the memory layout that convolutions read fastest."""

    def moved(leaf: Tensor) -> Tensor:
        return leaf.contiguous(memory_format=torch.channels_last) if leaf.dim() == 4 else leaf

    return trees.map(moved, params)


def class_sums(logits: Tensor, labels: Tensor, classes: int) -> ClassSums:
    """Sum up a model's answers.

    Args:
        logits: Answers (n, classes).
        labels: Labels (n,), int64.
        classes: Number of classes.

    Returns:
        Sums by true class; bin b of BINS holds confidences in (b / BINS, (b + 1) / BINS].

    Raises:
        Diverged: If a logit is not finite; it would count as the first class.
    """
    if not logits.isfinite().all():
        raise Diverged("a judged model's answers are not finite", where="judging")
    right = logits.argmax(1) == labels
    logs = logits.double().log_softmax(1)
    confidence = logs.max(1).values.exp()
    bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    gaps = torch.bincount(labels * BINS + bins, right.double() - confidence, classes * BINS)
    own = -logs.gather(1, labels[:, None]).squeeze(1)
    return ClassSums(
        torch.bincount(labels[right], minlength=classes).tolist(),
        torch.bincount(labels, own, classes).tolist(), gaps.view(classes, BINS).tolist(),
    )  # fmt: skip


def total(parts: Sequence[ClassSums]) -> ClassSums:
    """The sums over several sets of images."""
    return ClassSums(
        np.sum([part.hits for part in parts], axis=0).tolist(),
        np.sum([part.nll for part in parts], axis=0).tolist(),
        np.sum([part.gaps for part in parts], axis=0).tolist(),
    )


def negative_log_likelihood(sums: ClassSums, counts: Sequence[int], share: Sequence[float]) -> float:
    """Mean of -log p of the true class.

    Args:
        sums: Of one model.
        counts: Test images per class.
        share: Weight of each class, for example its share of the test set or of a client's own images; classes that
            the test set lacks do not count.
    """
    return float(_weights(counts, share) @ np.asarray(sums.nll))


def calibration_error(sums: ClassSums, counts: Sequence[int], share: Sequence[float]) -> float:
    """Expected calibration error: mean distance of accuracy from confidence over bins of confidence.

    ECE = sum_b |sum_{i in b} w_i (correct_i - confidence_i)|, where an image's weight w_i is its class's share over its
    class's count; with shares of the test set this is the usual sum_b n_b / n |accuracy_b - confidence_b|.

    Args:
        sums: Of one model.
        counts: Test images per class.
        share: Weight of each class, as for `negative_log_likelihood`.

    Source: Guo et al. 2017, with 15 bins.
    """
    return float(np.abs(_weights(counts, share) @ np.asarray(sums.gaps)).sum())


def _weights(counts: Sequence[int], share: Sequence[float]) -> np.ndarray:
    """Weight of one image of each class."""
    numbers = np.asarray(counts)
    return np.where(numbers > 0, share, 0.0) / np.maximum(numbers, 1)


def per_class(hits: Sequence[int], counts: Sequence[int]) -> list[float]:
    """Accuracy of each class that occurs in the test set.

    Args:
        hits: Correct images per class.
        counts: Images per class.
    """
    return [round(hit / count, 6) for hit, count in zip(hits, counts, strict=True) if count]


def accuracy(hits: Sequence[int], counts: Sequence[int]) -> float:
    """Share of correct images.

    Args:
        hits: Correct images per class.
        counts: Images per class.
    """
    return sum(hits) / sum(counts)


def forgetting(history: Sequence[Sequence[float]]) -> float:
    """Mean over classes of the best accuracy before the end minus the final accuracy.

    Args:
        history: Accuracy per class at each evaluation, in the order of time.

    Returns:
        F in [-1, 1]; 0 for a single evaluation.

    Source: Lee et al., Preservation of the Global Knowledge by Not-True Distillation, NeurIPS 2022 (FedNTD).
    """
    if len(history) < 2:
        return 0.0
    values = np.asarray(history)
    return float(np.mean(values[:-1].max(0) - values[-1]))


def local_accuracies(hits: Sequence[int], counts: Sequence[int], share: Sequence[float]) -> tuple[float, float]:
    """In-local accuracy sum_c p(c) A_c of a client's model, and out-local accuracy with weights (1 - p(c)) / (C - 1).

    Classes that the test set lacks (those that joint public labels append) do not count.

    Args:
        hits: Correct test images per class.
        counts: Test images per class.
        share: Distribution p of the client's images over classes.

    Returns:
        In-local and out-local accuracy.

    Source: the code published with FedNTD.
    """
    present = np.asarray(counts) > 0
    scores = np.asarray(hits)[present] / np.asarray(counts)[present]
    p = np.asarray(share)[present]
    return float(p @ scores), float((1 - p) @ scores / max(len(p) - 1, 1))


def gains(before: Sequence[float], after: Sequence[float]) -> dict[str, float]:
    """What an adaptation changed.

    Args:
        before: Accuracy of each client's model before.
        after: Accuracy of each client's model afterwards.

    Returns:
        `gain`, the mean difference, and `share_gaining`, the share of clients with a positive one.
    """
    differences = [new - old for old, new in zip(before, after, strict=True)]
    gaining = sum(difference > 0 for difference in differences)
    clients = len(differences)
    return {"gain": round(sum(differences) / clients, 6), "share_gaining": round(gaining / clients, 6)}


def summary(evaluations: list[dict[str, Any]], targets: Sequence[float]) -> dict[str, Any]:
    """Sum up all evaluations of a run: accuracy, mean of the last five, forgetting, and when targets were reached.

    Args:
        evaluations: Evaluations in the order of time, to each of which its forgetting is added.
        targets: Accuracies; one is reached at the first evaluation that is strictly above it.

    Returns:
        Fields of `records.record.Result`.
    """
    history = [entry["per_class"] for entry in evaluations]
    for number, entry in enumerate(evaluations):
        entry["forgetting"] = round(forgetting(history[: number + 1]), 6)
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

"""What a row used up beyond what its task is about: such rows stand apart from the others, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from benchmark.core.tasks.task import Task
from benchmark.records.record import Record, Result

TRAINING = (
    2.05  # times FedAvg's private images: two models of a client are within the budget, adaptation for long is not
)
OVERHEAD = 0.25  # share of the payload that encodings may add
SMALL = 2000  # bytes that a message's names, types and shapes may always take


def beyond_budget(task: Task, records: Sequence[Record], reference: Sequence[Record]) -> list[str]:
    """Why the records of one row used up more than their task's budget, in words; [] if they did not.

    Args:
        task: Their task.
        records: Finished records of one method.
        reference: FedAvg's finished records on the task; [] compares no training.
    """
    results = [record.result for record in records if record.result]
    theirs = [record.result for record in reference if record.result]
    return [*_training(results, theirs), *_overhead(task, results)]


def _training(results: Sequence[Result], reference: Sequence[Result]) -> list[str]:
    counts = [[images for one in group if (images := private_images(one))] for group in (results, reference)]
    if not all(counts):
        return []  # protocol 1 counts none
    ratio = fmean(counts[0]) / fmean(counts[1])
    return [f"trains on {ratio:.1f} times FedAvg's private images"] if ratio > TRAINING else []


def private_images(result: Result) -> int:
    """Private images that clients fed to losses, 0 where nobody counted."""
    phases = result.budget or []
    return sum(phase.images.get(kind, 0) for phase in phases for kind in ("private", "joined"))


def _overhead(task: Task, results: Sequence[Result]) -> list[str]:
    """Names and shapes are bytes too: encodings that are much longer than what they hold."""
    for way in ("up", "down"):
        extra = [getattr(one.bytes, f"{way}_wire") - getattr(one.bytes, way) for one in results]
        payload = [getattr(one.bytes, way) for one in results]
        if not extra:
            return []
        per_message = fmean(extra) / (task.rounds * task.cohort)
        if per_message > SMALL and fmean(extra) > OVERHEAD * fmean(payload):
            return [f"sends {fmean(extra) / 1e6:.2f} MB {way} in names and shapes beside its payload"]
    return []

"""Whether a record agrees with itself, with its task and with the records beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from benchmark.core.data.manifest import manifest
from benchmark.core.tasks.requirements import FURTHER_ROUNDS, datasets
from benchmark.core.tasks.task import Task
from benchmark.records.record import Record, Result

ROUNDING = 2e-6  # records hold six decimals
FEWER_ROUNDS = {"untrained"}  # methods that need no more than one
EQUAL = {
    frozenset({"fedavg", "fednova"}): "FedNova with equal numbers of steps is FedAvg",
    frozenset({"fedavg", "fedbn"}): "FedBN without layers of batch normalisation is FedAvg",
    frozenset({"fedadam", "fedyogi"}): "they differ in the decay of v alone, which few test images may not show",
}
"""Methods whose results may be equal to the bit, and why."""


def contradictions(record: Record, task: Task) -> list[str]:
    """What a finished record says twice and differently, or otherwise than its task.

    Args:
        record: The record.
        task: Its task.

    Returns:
        Sentences; [] for a consistent record and for one without a result.
    """
    result = record.result
    if result is None:
        return []
    return [*_summary(result), *_bytes(result), *_task(record, task), *_places(record, task), *_images(record, task)]


def _summary(result: Result) -> Iterator[str]:
    """The summary against the evaluations that it sums up."""
    from benchmark.core.client.evaluate import summary  # imports torch

    evaluations: list[dict[str, Any]] = [entry.model_dump() for entry in result.evaluations]
    expected = summary(evaluations, [target.accuracy for target in result.targets])
    for name in ("accuracy", "accuracy_last5", "forgetting"):
        if abs(getattr(result, name) - expected[name]) > ROUNDING:
            yield f"{name} is {getattr(result, name)}, its evaluations give {expected[name]}"
    for entry, again in zip(result.evaluations, expected["evaluations"], strict=True):
        if abs(entry.forgetting - again["forgetting"]) > ROUNDING:
            yield f"forgetting after round {entry.round} is {entry.forgetting}, its classes give {again['forgetting']}"
            break
    if [target.model_dump() for target in result.targets] != expected["targets"]:
        yield "its targets are not those that its evaluations reach"


def _bytes(result: Result) -> Iterator[str]:
    """Bytes of the run against those counted until each evaluation."""
    total, counted = result.bytes.up + result.bytes.down, [entry.bytes for entry in result.evaluations]
    if counted[-1] != total:
        yield f"{total} bytes moved, at its last evaluation {counted[-1]}"
    if counted != sorted(counted):
        yield "its bytes fall from one evaluation to the next"
    if result.bytes.up_wire < result.bytes.up or result.bytes.down_wire < result.bytes.down:
        yield "its encoded messages are shorter than what they hold"


def _task(record: Record, task: Task) -> Iterator[str]:
    for name in ("track", "precision", "rounds"):
        if getattr(record, name) != getattr(task, name) and not record.departures:
            yield f"{name} is {getattr(record, name)}, its task's {getattr(task, name)}"
    if sorted(record.hashes.data) != datasets(task):
        yield f"it rests on {', '.join(record.hashes.data) or 'no data'}, its task on {', '.join(datasets(task))}"
    if record.seed not in task.seeds:
        yield f"seed {record.seed} is none of its task's"


def _places(record: Record, task: Task) -> Iterator[str]:
    """Rounds of the evaluations: those that the task names, one before a last phase, and the last."""
    assert record.result is not None
    rounds = [entry.round for entry in record.result.evaluations]
    last = rounds[-1]
    least = 1 if record.algorithm in FEWER_ROUNDS else task.rounds
    if not least <= last <= task.rounds + FURTHER_ROUNDS:
        yield f"it ran {last} rounds, its task has {task.rounds}"
    elif set(rounds) - {*range(task.rounds, last)} != set(_evaluated(task, last)) - {*range(task.rounds, last)}:
        yield "it was evaluated in other rounds than its task says"
    elif rounds != sorted(set(rounds)):
        yield "its evaluations are not in the order of time"


def _evaluated(task: Task, last: int) -> Iterable[int]:
    return [
        number
        for number in range(1, last + 1)
        if number % task.evaluate_every == 0 or number > last - task.evaluate_last
    ]


def _images(record: Record, task: Task) -> Iterator[str]:
    """Accuracies against the test set: they are hits over images, and the classes give the whole."""
    known = manifest().get(task.dataset)
    if known is None or task.only or task.judge != "test" or record.track == "personal" or record.result is None:
        return
    counts = [count for count in known.splits["test"].class_counts if count]
    for entry in record.result.evaluations:
        if len(entry.per_class) != len(counts):
            yield f"it has {len(entry.per_class)} classes after round {entry.round}, the test set {len(counts)}"
            return
        whole = sum(share * count for share, count in zip(entry.per_class, counts, strict=True)) / sum(counts)
        if abs(whole - entry.accuracy) > ROUNDING:
            yield f"accuracy after round {entry.round} is {entry.accuracy}, its classes give {whole:.6f}"
            return
        hits = entry.accuracy * sum(counts)
        if record.judged == "common" and abs(hits - round(hits)) > ROUNDING * sum(counts):
            yield f"accuracy after round {entry.round} is {entry.accuracy}, no share of {sum(counts)} images"
            return


def repeated(records: Iterable[Record]) -> list[str]:
    """Records of one task whose results are equal to the bit, as two seeds or two methods do not have them.

    Args:
        records: Records of one task.

    Returns:
        A sentence per pair; pairs in `EQUAL` with the same seed are left out.
    """
    first: dict[str, Record] = {}
    sentences = []
    for record in records:
        if record.result is None:
            continue
        other = first.setdefault(record.result_sha256, record)
        same = record.seed == other.seed and frozenset({record.algorithm, other.algorithm}) in EQUAL
        if other is not record and not same:
            sentences.append(f"{record.path.as_posix()} has the result of {other.path.as_posix()} to the bit")
    return sentences

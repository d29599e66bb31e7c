"""Time of a run on declared devices and networks, computed from its record; docs/time.md has the formulas and sources.

No run measures this time: bytes, participants and images come from the record and its task, speeds from a profile.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import comb
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmark.analysis.cost import training_images
from benchmark.core.tasks.task import Task
from benchmark.records.record import Record

if TYPE_CHECKING:
    from benchmark.records.index import ResultsIndex

OPERATIONS = Path(__file__).with_name("operations.json")  # of a forward pass, by network and dataset
TRAINING = 3  # a training step in forward passes: one forward, and a backward pass of twice its operations
NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class Profile:
    """Devices of one kind and their network.

    Attributes:
        download: Bytes per second from the server.
        upload: Bytes per second to the server.
        speed: Operations per second in training.
        latency: Seconds that every participation costs besides.
        stragglers: Share of devices that are slower.
        slowdown: How many times slower they are, in training and on the network.
        dropout: Probability that a device loses its work in a round and starts it again.
    """

    download: float
    upload: float
    speed: float
    latency: float
    stragglers: float = 0.0
    slowdown: float = 1.0
    dropout: float = 0.0


LAPTOP = 1.1e11  # operations per second of one core: docs/speed.md
PROFILES = {
    "phone": Profile(0.75e6, 0.25e6, LAPTOP / 7, latency=10, stragglers=0.1, slowdown=3, dropout=0.08),
    "laptop": Profile(12.5e6, 2.5e6, LAPTOP, latency=1, stragglers=0.1, slowdown=2, dropout=0.02),
    "hospital": Profile(125e6, 62.5e6, 1.1e13, latency=1),
}
"""The declared profiles; docs/time.md says where each number comes from."""


@cache
def expected_slowest(devices: int, profile: Profile) -> float:
    """Expected time of the slowest of some devices, in units of the time of a device that neither lags nor drops out.

    A device takes A · S: A attempts, P(A > k) = dropout^k, and S is `slowdown` with probability `stragglers`, else 1.
    The expectation of the maximum is the integral of 1 - P(A · S <= t)^devices over t.

    Args:
        devices: How many there are.
        profile: What they are.
    """
    attempts = 1
    while devices * profile.dropout**attempts > NEGLIGIBLE:
        attempts += 1
    times = {0.0, *(float(k) for k in range(1, attempts + 1)), *(k * profile.slowdown for k in range(1, attempts + 1))}
    steps = pairwise(sorted(times))
    return sum((end - start) * (1 - _done_by(start, profile) ** devices) for start, end in steps)


def _done_by(time: float, profile: Profile) -> float:
    """P(A · S <= time)."""
    fast, slow = (1 - profile.dropout ** int(time / factor + NEGLIGIBLE) for factor in (1.0, profile.slowdown))
    return (1 - profile.stragglers) * fast + profile.stragglers * slow


@cache
def largest_share(sizes: tuple[int, ...], cohort: int) -> float:
    """Expected images of the largest client in a random cohort, in units of the mean client's; 1 without sizes.

    The client in place j of N by size is the largest of K if the others are among the j - 1 smaller ones.

    Args:
        sizes: Images of every client.
        cohort: Clients of a round, K.
    """
    cohort = min(cohort, len(sizes))
    if not cohort or not sum(sizes):
        return 1.0
    ways = comb(len(sizes), cohort)
    largest = sum(size * comb(place, cohort - 1) / ways for place, size in enumerate(sorted(sizes)))
    return largest / fmean(sizes)


def clock(record: Record, task: Task, sizes: Sequence[int], profile: Profile) -> list[float] | None:
    """Seconds from the start to the end of every round.

    Args:
        record: A record with a result.
        task: Its task.
        sizes: Images of every client, [] where they are not known.
        profile: Devices and network.

    Returns:
        Seconds by round, or None for a network whose operations are not known.
    """
    operations, result = forward_operations(task), record.result
    if operations is None or result is None:
        return None
    share = 1.0 if task.train.steps else largest_share(tuple(sizes), task.cohort)
    rounds, total = list(_rounds(record, task)), result.bytes.up + result.bytes.down
    per_byte = (result.bytes.up / profile.upload + result.bytes.down / profile.download) / total if total else 0.0
    seconds, now, done, sent = [], 0.0, 0, 0
    for evaluation in result.evaluations:
        chunk = rounds[done : evaluation.round]
        size = (evaluation.bytes - sent) / (sum(devices for devices, _ in chunk) or 1)  # of one device in one round
        for devices, images in chunk:
            training = TRAINING * operations * images * share / profile.speed
            exchange = profile.latency + size * per_byte if total else 0.0
            now += (training + exchange) * expected_slowest(round(devices), profile)
            seconds.append(now)
        done, sent = evaluation.round, evaluation.bytes
    return seconds


def _rounds(record: Record, task: Task) -> Iterator[tuple[float, float]]:
    """Participants of every round and the images that one of them trains on.

    Records of protocol 1 hold no images: there one pass of the task's local training stands for them.
    """
    assert record.result
    budget, last = record.result.budget, record.result.evaluations[-1].round
    if budget is None:
        visit = training_images(task) / (task.rounds * task.cohort)
        yield from [(task.cohort, visit)] * max(record.rounds, last)
        return
    for phase in budget:
        devices, images = phase.visits / (phase.rounds or 1), sum(phase.images.values()) / (phase.visits or 1)
        yield from [(devices, images)] * phase.rounds


@cache
def _operations() -> dict[str, dict[str, float]]:
    return dict(json.loads(OPERATIONS.read_bytes()))


def forward_operations(task: Task) -> float | None:
    """Operations of a forward pass of one image, the mean over the task's networks; None where one is not known."""
    known = [_operations().get(network, {}).get(task.dataset) for network in task.networks]
    values = [value for value in known if value is not None]
    return fmean(values) if len(values) == len(known) else None


def clocks(index: ResultsIndex, task: Task, records: Sequence[Record], profile: Profile) -> list[list[float]]:
    """Seconds by round of every record of one method; [] for pooled data, which no device has."""
    method = index.methods.get(records[0].algorithm) if records else None
    if method is None or method.pooled:
        return []
    tables = index.splits.get(task.name, {})
    found = [
        clock(record, task, [row["size"] for row in tables.get(str(record.seed), {}).get("clients", [])], profile)
        for record in records if record.result
    ]  # fmt: skip
    return [seconds for seconds in found if seconds is not None]


def minutes_to(index: ResultsIndex, task: Task, records: Sequence[Record]) -> dict[str, Any]:
    """Mean minutes until each target was exceeded, by target and profile; None unless all seeds got there.

    Args:
        index: All records.
        task: The task.
        records: The records of one method on the task that have a result.
    """
    row: dict[str, Any] = {}
    for name, profile in PROFILES.items():
        seconds = clocks(index, task, records, profile)
        for target in task.targets:
            rounds = [_round_of(record, target) for record in records]
            reached = [round for round in rounds if round is not None]
            known = bool(seconds) and len(reached) == len(seconds)
            minutes = [
                times[min(round, len(times)) - 1] / 60 for times, round in zip(seconds, reached, strict=False)
            ]  # fmt: skip
            row[column(target, name)] = round(fmean(minutes), 3) if known else None
    return row


def _round_of(record: Record, target: float) -> int | None:
    assert record.result
    return next((entry.round for entry in record.result.targets if entry.accuracy == target), None)


def column(target: float, profile: str) -> str:
    """Name of a column: minutes_to_60_phone."""
    return f"minutes_to_{target * 100:g}_{profile}"

"""What cells cost: core-seconds as measured for task and method, otherwise from the work that a task holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import log
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from benchmark.core.data.manifest import manifest
from benchmark.core.task import Task

OVERHEAD = 1e7  # operations that an image costs besides its network's, read off cells of 2 to 50 million each
Known = Mapping[tuple[str, str], float]  # core-seconds of a cell by task and method


class Work(NamedTuple):
    """Images that a cell trains on, counted once per pass, and floating-point operations of one in a forward pass."""

    images: float
    each: float

    @property
    def total(self) -> float:
        """Operations of all images."""
        return self.images * (self.each + OVERHEAD)


def measured(results: Path) -> dict[tuple[str, str], float]:
    """Core-seconds of a cell by task and method, the mean over the seeds that were run."""
    found: dict[tuple[str, str], list[float]] = {}
    for path in results.glob("*/*/*.run.json"):
        if (seconds := spent(path)) is not None:
            found.setdefault((path.parts[-3], path.parts[-2]), []).append(seconds)
    return {pair: fmean(values) for pair, values in found.items()}


def tunings(results: Path) -> dict[str, float]:
    """Core-seconds of a method's tuning over those of its cell, the mean over the tasks that were run with both.

    More than their rounds tell where an opening phase, such as training a generator, is not shortened with them.
    """
    cells, found = measured(results), dict[str, list[float]]()
    for path in sorted(results.glob("*/tuning/*.json")):
        seconds = _searched(path)
        if seconds is not None and (cell := cells.get((path.parts[-3], path.stem))):
            found.setdefault(path.stem, []).append(seconds / cell)
    return {method: fmean(shares) for method, shares in found.items()}


def _searched(path: Path) -> float | None:
    try:
        return sum(float(point["seconds"]) for point in json.loads(path.read_bytes())["points"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def spent(path: Path) -> float | None:
    """Core-seconds in a <seed>.run.json; None if it is damaged, which costs an estimate and nothing else."""
    try:
        run = json.loads(path.read_bytes())
        return float(run["seconds"]) * int(run["workers"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def expected(pair: tuple[str, str], known: Known, work: Mapping[str, Work]) -> float:
    """Core-seconds of a cell of this task and method.

    As measured for both; else the task's usual cost times how much more than usual the method costs elsewhere.
    """
    task, method = pair
    return known[pair] if pair in known else _usual(task, known, work) * _factor(method, known)


def _usual(task: str, known: Known, work: Mapping[str, Work]) -> float:
    """The mean over the task's methods.

    Else the task's work at the pace of the measured task whose images cost most alike, or the mean of everything where
    no work is known; 1 where nothing is.
    """
    of_task = _by_task(known)
    if task in of_task:
        return of_task[task]
    measured = [name for name in sorted(of_task) if name in work]
    if measured and task in work:
        here = work[task]
        like = min(measured, key=lambda name: abs(log(work[name].each / here.each)))
        return of_task[like] * here.total / work[like].total
    return fmean(known.values()) if known else 1.0


def _factor(method: str, known: Known) -> float:
    """A method's cost over the mean of its task's methods, on average over tasks; 1 for a method never measured."""
    of_task = _by_task(known)
    shares = [seconds / of_task[task] for (task, name), seconds in known.items() if name == method]
    return fmean(shares) if shares else 1.0


def _by_task(known: Known) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for (task, _), seconds in known.items():
        found.setdefault(task, []).append(seconds)
    return {task: fmean(values) for task, values in found.items()}


def work(tasks: Iterable[Task]) -> dict[str, Work]:
    """What a cell's local training costs, by task. Imports torch, builds the networks without their weights.

    What servers, opening phases and evaluations do comes on top; quick tasks are left out, since theirs weighs most.
    """
    return {task.name: Work(_images(task), _each(task)) for task in tasks if task.tier != "quick"}


def _images(task: Task) -> float:
    train, split = task.train, task.split
    own = manifest()[task.dataset].splits["train"].n / task.clients
    match split.kind:
        case "labels_removed" | "drawn":
            own = split.per_client
        case "few_per_class":
            own = split.per_class * len(split.classes)
        case "superclass":
            own = split.per_class * len(split.superclasses)
    return task.rounds * task.cohort * (train.steps * train.batch if train.steps else train.epochs * own)


def _each(task: Task) -> float:
    facts = manifest()[task.dataset]
    height, width, channels = facts.shape
    return fmean(_flops(arch, (channels, height, width), len(facts.classes)) for arch in task.networks)


@lru_cache
def _flops(arch: str, shape: tuple[int, int, int], classes: int) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmark.core import nets

    with torch.device("meta"):
        net = nets.build(arch, shape, classes)
        with FlopCounterMode(display=False) as counter:
            net(torch.zeros(2, *shape))
    return counter.get_total_flops() / 2

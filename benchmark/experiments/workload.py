"""What the clients of a cell do: images that they train on and operations of each, read off task and method."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from benchmark.analysis.cost import client_images
from benchmark.core import method_files
from benchmark.core.data.loading import info_of
from benchmark.core.tasks.task import RATE, Task

if TYPE_CHECKING:
    from benchmark.core.api import Algorithm, Pass, Site

OVERHEAD = 1e7  # operations that an image costs besides its network's, read off cells of 2 to 50 million each
BF16 = 0.37  # of the seconds of an operation in fp32, so that workload W takes 5.9 s a round for 11.5 (docs/speed.md)
LOOK = 1 / 3  # of a training step: a forward pass without the backward one
Pair = tuple[str, str]  # task and method


class Work(NamedTuple):
    """Images that a cell's clients train on, counted once per pass; operations of one in a network's forward pass.

    Operations in bf16 count as so many in fp32 as take as long.
    """

    images: float
    each: float

    @property
    def total(self) -> float:
        """Operations of all images."""
        return self.images * (self.each + OVERHEAD)


class Workload(dict[Pair, Work]):
    """The work of any method on these tasks, computed when `get` asks for it. Imports torch.

    A method that cannot say what it does on a task has none, since it does not apply there or is broken.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self.tasks = tasks

    def get(self, pair: Pair, default: Any = None) -> Any:
        """The work of a method on a task."""
        if pair not in self and pair[0] in self.tasks:
            task = self.tasks[pair[0]]
            with suppress(Exception):  # a submission's code: running it says what is the matter, a forecast goes on
                self[pair] = Work(_images(task, pair[1]), _each(task))
        return super().get(pair, default)


@dataclass(frozen=True)
class _Sized:
    """Images of which only the number is known."""

    size: int


def _images(task: Task, method: str) -> float:
    """Images of all passes of all clients in all phases.

    A pass over chosen rows takes as many as the method's field `draw` says, or all if it has none.
    """
    algorithm = method_files.make(method, {k: value for k, value in task.settings(method).items() if k != RATE})
    site, cohort, clients = _mean_site(task, algorithm)
    total = 0.0
    for phase in algorithm.phases(task.rounds):
        visits = phase.rounds * (clients if phase.everyone else cohort)
        total += visits * sum(_taken(run, site, algorithm) for run in algorithm.passes(phase, site))
    return total


def _taken(run: Pass, site: Site, algorithm: Algorithm) -> float:
    """Images of one pass, in training steps' worth."""
    train, steps = site.train, run.steps or (None if run.epochs else site.train.steps)
    images = site.public if run.stream == "public" else site.data
    assert images is not None
    size = images.size if run.rows is None else min(getattr(algorithm, "draw", images.size), images.size)
    if not run.update:
        return size * LOOK
    return steps * (run.batch or train.batch) if steps else (run.epochs or train.epochs) * size


def _mean_site(task: Task, algorithm: Algorithm) -> tuple[Site, int, int]:
    """A client with the mean number of images; how many take part in a round, and in one for everyone."""
    from benchmark.core.api import Site, Who
    from benchmark.core.client.federation import training

    size, cohort, clients = client_images(task), task.cohort, task.clients
    if algorithm.pooled:
        size, cohort = size * clients, len(set(task.networks))
        clients = cohort
    unknown: Any = None
    site = Site(
        who=Who(0, task.networks[0], round(size)), model=unknown, data=cast(Any, _Sized(round(size))),
        public=cast(Any, _Sized(task.public.size)) if task.public else None,
        classes=len(info_of(task.located(task.dataset)).classes), train=training(task),
        share=task.cohort / task.clients, cohort=task.cohort,
    )  # fmt: skip
    return site, cohort, clients


def _each(task: Task) -> float:
    """Operations of one image, the mean over the networks."""
    facts = info_of(task.located(task.dataset))
    height, width, channels = facts.shape
    each = fmean(_flops(arch, (channels, height, width), len(facts.classes)) for arch in task.networks)
    return each * (BF16 if task.precision == "bf16" else 1.0)


@lru_cache
def _flops(arch: str, shape: tuple[int, int, int], classes: int) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmark.core.models import build

    with torch.device("meta"):
        net = build.build(arch, shape, classes)
        with FlopCounterMode(display=False) as counter:
            net(torch.zeros(2, *shape))
    return counter.get_total_flops() / 2

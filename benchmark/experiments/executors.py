"""Runs many jobs, cells and tunings, on an executor: processes of this machine, a Ray cluster or a SLURM queue."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, Literal, Protocol

from benchmark.experiments.progress import Lines, Outcome
from benchmark.experiments.tuning import Job, Tuning

Message = tuple[Job, Literal["round", "done", "failed"], Any]
"""A job with its event of a round, with its record, or with why it has none."""


class Executor(Protocol):
    """Where jobs run. What a job leaves is in the folder of results when its record comes back.

    width: how many jobs at a time
    """

    width: int

    def submit(self, job: Job) -> None:
        """Begin a job."""

    def messages(self) -> Iterable[Message]:
        """What running jobs have to say; waits a moment if that is nothing."""

    def close(self) -> None:
        """End what still runs."""


def run(jobs: Sequence[Job], executor: Executor, view: Lines, seconds: float = inf) -> list[Outcome]:
    """Run jobs in this order; however this function ends, the executor is closed.

    A cell waits for its method's tuning on its task. A job that fails costs only itself.

    Args:
        jobs: What to run.
        executor: Where.
        view: What shows progress.
        seconds: After these no job begins any more; those that run are finished.

    Returns:
        Outcomes in finishing order.
    """
    waiting, running, outcomes = deque(jobs), list[tuple[Job, float]](), list[Outcome]()
    deadline = time.monotonic() + seconds
    try:
        while waiting or running:
            while len(running) < executor.width and (job := _next(waiting, [job for job, _ in running])):
                executor.submit(job)
                running.append((job, time.monotonic()))
                view.begin(job)
            for job, kind, content in executor.messages():
                if kind == "round":
                    view.round(job, content)
                    continue
                entry = next(entry for entry in running if entry[0] == job)
                running.remove(entry)
                took = time.monotonic() - entry[1]
                outcomes.append(
                    Outcome(job, content, took) if kind == "done" else Outcome(job, None, took, error=content)
                )
                view.end(outcomes[-1])
            if time.monotonic() > deadline:
                waiting.clear()
    finally:
        executor.close()
    return outcomes


def _next(waiting: deque[Job], running: Sequence[Job]) -> Job | None:
    """Take the first job that need not wait for a tuning."""
    tuned = {(job.task, job.algorithm) for job in running if isinstance(job, Tuning)}
    job = next((job for job in waiting if (job.task, job.algorithm) not in tuned), None)
    if job:
        waiting.remove(job)
    return job

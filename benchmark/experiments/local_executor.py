"""Many cells on this machine, on long-lived worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from math import inf
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from benchmark.core.errors import explain
from benchmark.core.processes import exit_with_parent, huge_pages
from benchmark.experiments import run as running
from benchmark.experiments.progress import Lines, Outcome
from benchmark.experiments.tuning import Job, Tuned, Tuning
from benchmark.records.record import Record


def run(jobs: Sequence[Job], results: Path, workers: int, view: Lines, seconds: float = inf) -> list[Outcome]:
    """Do jobs of the suite in this order on long-lived worker processes; outcomes in finishing order.

    seconds: after these no job begins any more; those that run are finished
    A cell waits for its method's tuning on its task. However this function ends, no process of it is left behind.
    """
    waiting, outcomes = deque(jobs), []
    deadline = time.monotonic() + seconds
    crew: dict[Connection, _Hand] = {}
    try:
        while waiting or crew:
            while len(crew) < workers and (job := _next(waiting, crew)):
                hand = _Hand(results)
                crew[hand.pipe] = hand
                view.begin(hand.take(job))
            for pipe in wait(list(crew)):
                hand = crew[pipe]  # type: ignore[index]
                outcome = hand.listen(view)
                if outcome is None:
                    continue
                outcomes.append(outcome)
                view.end(outcome)
                hand.job = None
                if time.monotonic() > deadline:
                    waiting.clear()
                if hand.process.is_alive() and (job := _next(waiting, crew)):
                    view.begin(hand.take(job))
                else:
                    crew.pop(hand.pipe).dismiss()
    finally:
        for hand in crew.values():
            hand.dismiss()
    return outcomes


def _next(waiting: deque[Job], crew: Mapping[Connection, _Hand]) -> Job | None:
    """Take the first job that need not wait for a tuning."""
    tuning = {(hand.job.task, hand.job.algorithm) for hand in crew.values() if isinstance(hand.job, Tuning)}
    job = next((job for job in waiting if (job.task, job.algorithm) not in tuning), None)
    if job:
        waiting.remove(job)
    return job


class _Hand:
    """A worker process and the job it is at."""

    def __init__(self, results: Path) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"  # inherited: every library in a worker keeps to one thread
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, results), daemon=True)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: the parent alone decides on an interruption
        try:
            with huge_pages():
                self.process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        theirs.close()
        self.job: Job | None = None
        self.started = 0.0

    def take(self, job: Job) -> Job:
        """Begin a job."""
        self.job, self.started = job, time.monotonic()
        self.pipe.send(job)
        return job

    def listen(self, view: Lines) -> Outcome | None:
        """Read one message; the outcome if it ends the job."""
        assert self.job is not None
        try:
            kind, content = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            code = self.process.exitcode
            kind, content = "failed", f"its process ended unexpectedly (exit code {code}; out of memory?)"
        if kind == "round":
            view.round(self.job, content)
            return None
        seconds = time.monotonic() - self.started
        if kind == "failed":
            return Outcome(self.job, None, seconds, content)
        return Outcome(self.job, content, seconds)

    def dismiss(self) -> None:
        """End the process, now: what it had finished is on disk."""
        self.process.terminate()
        self.process.join()
        self.pipe.close()


def _work(pipe: Connection, results: Path) -> None:
    """A worker's life: jobs come through the pipe, rounds and outcomes go back; it ends with its parent."""
    exit_with_parent()
    try:
        while True:
            pipe.send(_one(pipe.recv(), results, lambda event: pipe.send(("round", event))))
    except (EOFError, ConnectionError):
        return


def _one(job: Job, results: Path, observer: Any) -> tuple[str, Record | Tuned | str]:
    try:
        if isinstance(job, Tuning):
            return "done", job.run(results, observer=observer)
        running.remove_stale(job, results)
        return "done", running.run(job, results, observer=observer)
    except ConnectionError:
        raise
    except Exception as error:
        return "failed", explain(error)[0]

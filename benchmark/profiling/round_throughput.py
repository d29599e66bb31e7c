"""Measures the throughput of whole rounds on several workers against plain PyTorch loops, with idle time and memory."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from benchmark.core.backends import Job, ProcessPoolBackend, Results, client_jobs
from benchmark.core.client.federation import Federation
from benchmark.core.errors import BenchmarkError
from benchmark.core.server.rounds import Run
from benchmark.experiments.cell import Cell, Prepared
from benchmark.profiling.time_breakdown import plain_evaluation, plain_training

FIRST, LEAST = 3, 4  # rounds: from the third on judging runs beside training, and the last round is judged as no other


class Reading(NamedTuple):
    """What has been used up when a round begins: seconds by the clock, CPU seconds of all processes."""

    wall: float
    cpu: float


def round_throughput(cell: Cell, workers: int, images: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Run a cell on worker processes and set its rounds, without the first two and the last, beside the limit.

    images: trained and tested before each round, as `time_breakdown` counts them
    The limit is the time that bare loops, one on each of the workers' cores, would take for the same training and test
    images. Returns rounds counted, seconds and CPU seconds a round, `share` of the limit (by the clock) and
    `share_of_cpu` (by CPU seconds, which a busy machine disturbs less), `busy` share of the workers' cores, and peak
    `memory` of all processes in bytes (proportional set size where the system tells it).
    """
    ready = cell.prepare()
    if ready.task.rounds < LEAST:
        raise BenchmarkError(f"--rounds {ready.task.rounds} are too few to time", hint=f"take {LEAST} or more")
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as loops:
        before = _plain_rates(cell, loops, workers)
        readings, memory = _run(ready, workers)
        after = _plain_rates(cell, loops, workers)
    rounds = len(readings) - FIRST
    used = Reading(*(b - a for a, b in zip(readings[FIRST - 1], readings[-1], strict=True)))
    trained, tested = (b - a for a, b in zip(images[FIRST - 1], images[-1], strict=True))
    train, test = ((a + b) / 2 for a, b in zip(before, after, strict=True))
    limit = trained / train + tested / test
    return {
        "task": ready.task.name, "method": ready.path.stem, "precision": ready.task.precision, "workers": workers,
        "rounds": rounds, "seconds": round(used.wall / rounds, 3), "cpu_seconds": round(used.cpu / rounds, 3),
        "share": round(limit / workers / used.wall, 3), "share_of_cpu": round(limit / used.cpu, 3),
        "busy": round(used.cpu / workers / used.wall, 3), "memory": memory,
        "bare_images_per_second": round(train), "bare_evaluation_per_second": round(test),
    }  # fmt: skip


class Clocked(ProcessPoolBackend):
    """A pool with a reading at the beginning of every round, and the peak of memory."""

    readings: list[Reading]
    memory = 0

    def submit(self, jobs: Sequence[Job]) -> Results:
        if client_jobs(jobs):
            processes = [psutil.Process(), *map(psutil.Process, self.executor._processes or ())]
            self.readings.append(Reading(time.monotonic(), sum(sum(p.cpu_times()[:2]) for p in processes)))
            self.memory = max(self.memory, sum(map(_memory, processes)))
        return super().submit(jobs)


def _run(ready: Prepared, workers: int) -> tuple[list[Reading], int]:
    federation = Federation.open(ready.task, ready.seed, ready.algorithm)
    pool = Clocked(ready.worker_config(), workers, lambda client: federation.who(client).size)
    pool.readings = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            Run(federation, ready.algorithm, pool, Path(folder), "round-throughput").execute()
        finally:
            pool.close()
    return pool.readings, pool.memory


def _plain_rates(cell: Cell, loops: ProcessPoolExecutor, workers: int) -> tuple[float, float]:
    """Images per second that bare loops side by side train and predict, each, on average."""
    rates = list(loops.map(_rates, [cell] * workers))
    train, test = (sum(column) / workers for column in zip(*rates, strict=True))
    return train, test


def _rates(cell: Cell) -> tuple[float, float]:
    torch.set_num_threads(1)
    ready = cell.prepare()
    federation = Federation.open(ready.task, ready.seed, ready.algorithm, verify=False)
    precision = ready.task.precision
    return plain_training(federation, precision), plain_evaluation(federation, precision)


def _memory(process: psutil.Process) -> int:
    facts = process.memory_full_info()
    return getattr(facts, "pss", facts.uss)

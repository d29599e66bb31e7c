"""Measures where a round's time goes, and local training against a plain PyTorch loop on the same network."""

from __future__ import annotations

import functools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmark.core.backends import (
    Job,
    ProbeJob,
    RepresentationJob,
    Results,
    SerialBackend,
    WorkerConfig,
    client_jobs,
)
from benchmark.core.client import evaluate, local_trainer
from benchmark.core.client.federation import Federation
from benchmark.core.data.batches import Stream
from benchmark.core.models.build import build
from benchmark.core.models.functional import autocast
from benchmark.core.optim import Optim
from benchmark.core.server.rounds import Run
from benchmark.core.storage import serialization
from benchmark.experiments.cell import Cell

TIMED: tuple[tuple[Any, str, str], ...] = (
    (Stream, "inputs", "data"),
    (Stream, "_views", "data"),
    (local_trainer.LocalTrainer, "_gradient", "forward"),  # what is left of it after data and backward
    (torch.autograd, "grad", "backward"),
    (Optim, "apply", "optimiser"),
    (serialization, "encode", "messages"),
    (serialization, "decode", "messages"),
    (evaluate, "logits", "evaluation"),
    (evaluate, "class_sums", "evaluation"),
    (ProbeJob, "run", "evaluation"),
    (RepresentationJob, "run", "evaluation"),
)
"""Functions whose own time, without that of timed functions inside them, counts as a part."""

GRADIENT, LOGITS = local_trainer.LocalTrainer._gradient, evaluate.logits
BARE_STEPS = 40
BARE_BATCHES = 4  # of evaluation
BETWEEN = 5.0  # CPU seconds of rounds, at least, from one timing of the bare loop to the next


class Stopwatch:
    """Exclusive CPU seconds by part: a part inside another is taken off the outer one."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.stack: list[float] = []
        self.images = [0, 0]  # trained, tested

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, entering its own time under a part."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self.stack.append(0.0)
            started = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.process_time() - started
                self.seconds[part] += spent - self.stack.pop()
                if self.stack:
                    self.stack[-1] += spent
                if function is GRADIENT:
                    self.images[0] += len(args[2].rows)
                if function is LOGITS:
                    self.images[1] += args[4] - args[3]

        return wrapper

    @contextmanager
    def patching(self) -> Iterator[None]:
        """Time the engine's own functions while the block runs."""
        originals = [(owner, name, getattr(owner, name)) for owner, name, _ in TIMED]
        for owner, name, part in TIMED:
            setattr(owner, name, self.timed(part, getattr(owner, name)))
        try:
            yield
        finally:
            for owner, name, function in originals:
                setattr(owner, name, function)


class Counting(SerialBackend):
    """All work in this process, and the bare loop between rounds, so that both meet the same minutes.

    images: trained and tested before each round
    rates: images per CPU second of the bare loop
    paused: CPU seconds that went to the bare loop
    """

    def __init__(self, setting: WorkerConfig, stopwatch: Stopwatch, loop: Callable[[], float]) -> None:
        super().__init__(setting)
        self.stopwatch, self.loop, self.images = stopwatch, loop, list[tuple[int, ...]]()
        self.rates, self.paused, self.last = list[float](), 0.0, -BETWEEN

    def submit(self, jobs: Sequence[Job]) -> Results:
        if client_jobs(jobs):
            self.images.append(tuple(self.stopwatch.images))
            self.compare()
        return super().submit(jobs)

    def compare(self) -> None:
        """Time the bare loop, unless it has just been timed."""
        started = time.process_time()
        if started - self.last >= BETWEEN:
            self.rates.append(self.loop())
            self.last = time.process_time()
            self.paused += self.last - started


def time_breakdown(cell: Cell) -> dict[str, Any]:
    """Run a cell in this process and account for its CPU seconds.

    Returns rounds, seconds by part ("engine" is what no part claims), images trained and tested before each round,
    images per second of local training, the same of a bare loop in the same minutes, and their ratio. Idle time does
    not occur in one process: see `round_throughput`.
    """
    ready = cell.prepare()
    federation = Federation.open(ready.task, ready.seed, ready.algorithm)
    stopwatch = Stopwatch()
    backend = Counting(ready.worker_config(), stopwatch, partial(plain_training, federation, ready.task.precision))
    with tempfile.TemporaryDirectory() as folder, stopwatch.patching():
        run = Run(federation, ready.algorithm, backend, Path(folder), "profile")
        started = time.process_time()
        run.execute()
        backend.compare()
        total = time.process_time() - started - backend.paused
    parts = {part: round(stopwatch.seconds[part], 3) for part in dict.fromkeys(part for _, _, part in TIMED)}
    parts["engine"] = round(total - sum(parts.values()), 3)
    training = sum(parts[part] for part in ("data", "forward", "backward", "optimiser"))
    ours, limit = stopwatch.images[0] / training, sum(backend.rates) / len(backend.rates)
    return {
        "task": ready.task.name, "method": ready.path.stem, "rounds": run.total, "seconds": parts,
        "images": backend.images,
        "images_per_second": round(ours), "bare_images_per_second": round(limit), "share": round(ours / limit, 3),
    }  # fmt: skip


def plain_training(federation: Federation, precision: str) -> float:
    """Training images per CPU second of a plain loop: same network, batch and optimiser, no data work.

    The rate is 0: learnt by heart, the one batch would leave denormal numbers, which are slow to compute with.
    """
    task, arch = federation.task, federation.task.networks[0]
    net = build(arch, federation.data.shape, federation.data.classes).to(memory_format=torch.channels_last)
    settings = task.train.optimiser
    optimiser = torch.optim.SGD(
        net.parameters(), lr=0.0, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    stream, batch = federation.private(0), min(task.train.batch, federation.private(0).size)
    rows = torch.arange(batch)
    x, y = stream.inputs(rows), stream.labels[rows]

    def step() -> None:
        optimiser.zero_grad()
        with autocast(precision):
            loss = F.cross_entropy(net(x).logits, y)
        loss.backward()
        optimiser.step()

    for _ in range(5):
        step()
    started = time.process_time()
    for _ in range(BARE_STEPS):
        step()
    return BARE_STEPS * batch / (time.process_time() - started)


def plain_evaluation(federation: Federation, precision: str) -> float:
    """Images per CPU second of a plain loop that only predicts, in the engine's evaluation batches."""
    net = build(federation.task.networks[0], federation.data.shape, federation.data.classes)
    net = net.to(memory_format=torch.channels_last).eval()
    x = federation.test.inputs(torch.arange(min(evaluate.BATCH, federation.test.size)))
    with torch.no_grad(), autocast(precision):
        net(x)
        started = time.process_time()
        for _ in range(BARE_BATCHES):
            net(x).logits.argmax(1)
    return BARE_BATCHES * len(x) / (time.process_time() - started)

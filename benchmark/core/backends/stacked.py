"""Whole cohorts at once: clients of one architecture take their steps together, on one device.

Clients are grouped by architecture and passes, largest first, and work in chunks of one fixed size; missing clients are
made up and never move. What cannot be stacked runs in the loop, on the CPU, with equal results: see `obstacle`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmark.core import tree as trees
from benchmark.core.api import Local, Pass
from benchmark.core.backends.base import Backend, ClientJob, ClientResult, Results, WorkerConfig
from benchmark.core.backends.stacked_batches import Feed, Shelf, placed
from benchmark.core.backends.stacked_step import Captured, Step, Stride, autocast, distance, with_padding
from benchmark.core.backends.worker import ClientSession, Worker, at
from benchmark.core.client import evaluate, linear_probe
from benchmark.core.client.local_training import LocalTrainer, closed, opened
from benchmark.core.data.batches import Stream
from benchmark.core.errors import BenchmarkError, Diverged, blamed
from benchmark.core.models.functional import Model
from benchmark.core.storage import serialization
from benchmark.core.tree import Tree

CHUNK = 32  # clients that work together at most
LARGE = 2000  # images per batch of an evaluation
Kind = tuple[str, tuple[Pass, ...]]  # architecture and passes, their lengths left out


@dataclass
class Seat:
    """A client in its chunk."""

    job: ClientJob
    guest: ClientSession
    message: Tree | None
    sweeps: list[LocalTrainer]
    local: Local


class Verdict(NamedTuple):
    """What a trial has shown.

    reason: why the passes cannot be stacked, "" if they can
    padded: for each pass, whether samples that are masked leave no trace, so that batches may be filled up
    """

    reason: str
    padded: tuple[bool, ...] = ()


def obstacle(model: Model, passes: Sequence[Pass]) -> str:
    """Why a client's work cannot be stacked as far as one can tell without trying, "" if nothing is in the way."""
    if model.random and any(run.update for run in passes):
        return f"network {model.arch} draws dropout from the generator of the process"
    return ""


class StackedBackend(Worker, Backend):
    """device: a torch device; graphs: replay each step as a CUDA graph."""

    workers = 1

    def __init__(self, setting: WorkerConfig, device: str = "cpu", graphs: bool = False) -> None:
        super().__init__(setting)
        self.device, self.graphs = _device(device, setting.precision), graphs
        if graphs and self.device.type != "cuda":
            raise BenchmarkError(f"device {device} knows no CUDA graphs", hint="choose --device cuda")
        networks = len(self.federation.task.networks)
        self.chunk = min(CHUNK, -(-self.federation.cohort_size // networks))
        self.shelf = Shelf(self.device)
        self.verdicts: dict[Kind, Verdict] = {}
        self.strides: dict[tuple[str, Pass], tuple[Stride, Step]] = {}

    @property
    def facts(self) -> dict[str, Any]:
        """Size of a chunk, and what ran in the loop and why."""
        looped = {
            f"{arch}: {', '.join(f'{run.stream} {run.loss}' for run in passes)}": verdict.reason
            for (arch, passes), verdict in self.verdicts.items() if verdict.reason
        }  # fmt: skip
        return {"stacked": {"chunk": self.chunk, "graphs": self.graphs, "looped": looped}}

    def submit(self, what: str, jobs: Sequence[Any]) -> Results:
        """Do the jobs at once."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There is a performance drop")  # where vmap falls back to a loop
            results = self._mapped(what, jobs)
        return lambda: results

    def _mapped(self, what: str, jobs: Sequence[Any]) -> list[Any]:
        if what != "visit":
            return [getattr(self, what)(job) for job in jobs]
        results: dict[int, ClientResult] = {}
        for kind, numbers in self._grouped(jobs).items():
            for start in range(0, len(numbers), self.chunk):
                chunk = numbers[start : start + self.chunk]
                results |= zip(chunk, self._visits(kind, [jobs[number] for number in chunk]), strict=True)
        return [results[number] for number in range(len(jobs))]

    def close(self) -> None:
        """Nothing to end."""

    def _grouped(self, jobs: Sequence[ClientJob]) -> dict[Kind, list[int]]:
        """Numbers of the jobs of each kind, large clients first, so that chunks finish together."""
        groups: dict[Kind, list[int]] = {}
        for number in sorted(range(len(jobs)), key=lambda n: -self.federation.who(jobs[n].client).size):
            job = jobs[number]
            site = self.federation.site(job.client, job.phase, job.round)
            passes = tuple(replace(run, epochs=None, steps=None) for run in self.algorithm.passes(job.phase, site))
            groups.setdefault((site.who.arch, passes), []).append(number)
        return groups

    def _visits(self, kind: Kind, jobs: list[ClientJob]) -> list[ClientResult]:
        model = self.federation.model(kind[0])
        if kind not in self.verdicts and (reason := obstacle(model, kind[1])):
            self.verdicts[kind] = Verdict(reason)
        if kind in self.verdicts and self.verdicts[kind].reason:
            return [self.visit(job) for job in jobs]
        seats = [self._seat(job) for job in jobs]
        shapes: dict[Any, list[Seat]] = {}
        for seat in seats:
            parts = (seat.local.params, seat.local.carry, seat.local.context)
            shapes.setdefault(tuple(_shapes(part) for part in parts), []).append(seat)
        for alike in shapes.values():
            if kind not in self.verdicts:
                self.verdicts[kind] = self._tried(kind, alike)
            if self.verdicts[kind].reason:
                return [self.visit(job) for job in jobs]
            with blamed(f"{alike[0].guest.where} and the clients beside it"):
                self._work(kind, alike)
        return [self._left(seat) for seat in seats]

    def _seat(self, job: ClientJob) -> Seat:
        guest, message = self.arrive(job), serialization.decode(job.message)
        with at(guest.where):
            torch.manual_seed(guest.key("dropout").seed)
            local = opened(self.algorithm.begin(guest.memory, message, job.phase, guest.site), guest.site)
            sweeps = [
                LocalTrainer(self.algorithm, guest.site, run, guest.key("pass", number), self.precision, guest.where)
                for number, run in enumerate(self.algorithm.passes(job.phase, guest.site))
            ]
        return Seat(job, guest, message, sweeps, local)

    def _left(self, seat: Seat) -> ClientResult:
        with at(seat.guest.where):
            torch.manual_seed(seat.guest.key("dropout").seed)
            done = closed(self.algorithm, seat.guest.site, seat.job.phase, seat.message, seat.guest.memory, seat.local)
        return self.leave(seat.job, seat.guest, done)

    def _work(self, kind: Kind, seats: list[Seat]) -> None:
        """All passes; the seats' locals are afterwards where the loop would have left them."""
        size = 1 if len(seats) == 1 else self.chunk
        steps = torch.zeros(size, dtype=torch.int64, device=self.device)
        params, carry, context = (self._stack(seats, part, size) for part in ("params", "carry", "context"))
        for number, padded in enumerate(self.verdicts[kind].padded):
            stride, step = self._stride(kind, number, seats[0])
            state, rates = stride.start(params, carry, steps), self._rates(seats[0], number)
            sweeps = [seat.sweeps[number] for seat in seats]
            for batch, active in Feed(sweeps, [seat.local for seat in seats], self.shelf, size, padded):
                state = step(state, context, batch, rates, active)
            params, carry, steps = state["params"], state["carry"], state["steps"]
            self._check(state, seats)
        ends = (trees.unstack(trees.map(Tensor.cpu, part), len(seats)) for part in (params, carry))
        for seat, own, moved, count in zip(seats, *ends, steps.tolist(), strict=False):
            seat.local = seat.local.having(params=own, carry=moved, steps=count)

    def _check(self, state: Tree, seats: list[Seat]) -> None:
        """The one time per pass that the device is asked whether all losses were finite."""
        for seat, step, value in zip(seats, state["broken"].tolist(), state["value"].tolist(), strict=False):
            if step:
                raise Diverged(f"the loss is {value} at step {step}", where=seat.guest.where)

    def _stack(self, seats: list[Seat], part: str, size: int) -> Tree:
        """One tree on the device from a part of all locals; the first client stands in for missing ones."""
        parts = [getattr(seat.local, part) for seat in seats]
        stacked = trees.stack(parts + parts[:1] * (size - len(parts)))
        return self._moved(stacked)

    def _stride(self, kind: Kind, number: int, seat: Seat) -> tuple[Stride, Step]:
        """A pass's step, kept for later rounds together with its graphs."""
        arch, run = kind[0], kind[1][number]
        if (arch, run) not in self.strides:
            optim = seat.sweeps[number].optim
            stride = Stride(self.algorithm, self.federation.model(arch), run, optim, self.precision, self.device)
            self.strides[arch, run] = stride, Captured(stride) if self.graphs else stride
        return self.strides[arch, run]

    def _rates(self, seat: Seat, number: int) -> Tree:
        rates = {"optim": seat.sweeps[number].lr, "local": seat.local.lr}
        return {name: torch.tensor(rate, device=self.device) for name, rate in rates.items()}

    def _tried(self, kind: Kind, seats: list[Seat]) -> Verdict:
        """Take one step of every pass, and leave everything as it was."""
        padded = []
        for number, run in enumerate(kind[1]):
            try:
                padded.append(self._masks(kind, number, seats))
            except BenchmarkError:
                raise
            except Exception as error:  # whatever vmap does not take; should it be a fault, the loop will say so
                return Verdict(f"{run.loss}: {type(error).__name__}: {str(error).splitlines()[0]}")
        return Verdict("", tuple(padded))

    def _masks(self, kind: Kind, number: int, seats: list[Seat]) -> bool:
        """Whether a batch with a masked sample moves clients as the batch without it does; raises if none can."""
        size = 1 if len(seats) == 1 else self.chunk
        params, carry, context = (self._stack(seats, part, size) for part in ("params", "carry", "context"))
        (stride, _), rates = self._stride(kind, number, seats[0]), self._rates(seats[0], number)
        state = stride.start(params, carry, torch.zeros(size, dtype=torch.int64, device=self.device))
        feed = Feed([s.sweeps[number] for s in seats], [s.local for s in seats], self.shelf, size, padded=False)
        before = trees.copy(state)
        for batch, active in feed:
            plain = stride(state, context, batch, rates, active)
            if _shapes(plain) != _shapes(state):
                raise TypeError("carry changes its shape from step to step")
            if distance(state, before, before) > 0:
                raise TypeError("parameters change in place")
            if stride.model.buffers:  # BatchNorm's statistics take in whatever is in the batch
                return False
            masked = stride(state, context, with_padding(batch), rates, active)
            return distance(plain, masked, state) < 1e-3
        return False

    def correct(self, model: Model, params: Tree, start: int, stop: int) -> list[int]:
        """Correct samples per class among rows of the test set, judged on the device."""
        test = self._test
        labels = test.labels.to(self.device)
        params = self._moved(params)
        hits = torch.zeros(test.classes, dtype=torch.int64, device=self.device)
        sound = torch.tensor(True, device=self.device)
        for rows in torch.split(torch.arange(start, stop, device=self.device), LARGE):
            with autocast(self.device, self.precision):
                logits = model.frozen(params, test.inputs(rows)).logits
            assert logits is not None
            hits += torch.bincount(labels[rows][logits.argmax(1) == labels[rows]], minlength=test.classes)
            sound &= logits.isfinite().all()
        return evaluate.counted(hits, sound)

    def features(self, model: Model, params: Tree, stream: Stream) -> Tensor:
        """What a probe reads, computed on the device."""
        images = placed(stream, stream.pixels.to(self.device))
        return linear_probe.features(model, self._moved(params), images, self.precision).cpu()

    @cached_property
    def _test(self) -> Stream:
        return placed(self.federation.test, self.federation.test.pixels.to(self.device))

    def _moved(self, tree: Tree) -> Tree:
        return trees.map(lambda leaf: leaf.to(self.device), tree)


def _device(name: str, precision: str) -> torch.device:
    """The device, in the precision that the record names: TF32 only where asked for."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise BenchmarkError(f"device {name} cannot be used ({reason})", hint="choose another --device") from None
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    return device


def _shapes(tree: Tree) -> tuple[Any, ...]:
    """What must be equal for trees to be stacked."""
    return tuple((path, getattr(leaf, "shape", None), getattr(leaf, "dtype", None)) for path, leaf in trees.walk(tree))

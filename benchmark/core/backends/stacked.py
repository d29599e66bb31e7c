"""Trains whole cohorts at once: clients of one architecture take their steps together, on one device.

Clients are grouped by architecture and passes, largest first, and work in chunks of one fixed size, filled up with
clients that are never active. What cannot be stacked runs in the loop, on the CPU, with equal results.
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
from benchmark.core.api import Algorithm, Hub, Key, Local, Pass, Phase, Upload
from benchmark.core.backends.base import Backend, Results
from benchmark.core.backends.device_mode import JoinDevice
from benchmark.core.backends.jobs import ClientJob, ClientResult, ClientSession, Job, client_jobs
from benchmark.core.backends.server_on_device import ServerOnDevice
from benchmark.core.backends.stacked_batches import DeviceImageCache, StackedBatches, on_device
from benchmark.core.backends.stacked_step import (
    CudaGraphStep,
    StackedStep,
    Step,
    distance,
    with_padding,
)
from benchmark.core.backends.worker import Worker, WorkerConfig
from benchmark.core.client import evaluate
from benchmark.core.client.local_trainer import LocalTrainer
from benchmark.core.client.local_training import finish_client, prepare_state
from benchmark.core.data.batches import Stream
from benchmark.core.errors import BenchmarkError, Diverged, error_context
from benchmark.core.models.functional import Model, autocast
from benchmark.core.storage import serialization
from benchmark.core.tree import Tree

CHUNK = 32  # clients that work together at most
EVAL_BATCH = 2000  # images
Kind = tuple[str, tuple[Pass, ...]]  # architecture and passes without their lengths


@dataclass
class Slot:
    """A client's place in its chunk."""

    job: ClientJob
    session: ClientSession
    message: Tree | None
    trainers: list[LocalTrainer]
    local: Local


class StackingSupport(NamedTuple):
    """What a trial step has shown.

    Attributes:
        reason: Why the passes cannot be stacked, "" if they can.
        padded: For each pass, whether masked samples have no effect, so that batches may be filled up.
    """

    reason: str
    padded: tuple[bool, ...] = ()


class StackedBackend(Worker, Backend):
    """device: a torch device; graphs: replay each step as a CUDA graph."""

    def __init__(self, config: WorkerConfig, device: str = "cpu", graphs: bool = False) -> None:
        super().__init__(config)
        self.device, self.graphs = _device(device, config.precision), graphs
        if graphs and self.device.type != "cuda":
            raise BenchmarkError(f"device {device} knows no CUDA graphs", hint="choose --device cuda")
        networks = len(self.federation.task.networks)
        self.chunk = min(CHUNK, -(-self.federation.cohort_size // networks))
        self.images = DeviceImageCache(self.device)
        self.server: ServerOnDevice | None = None
        self.support: dict[Kind, StackingSupport] = {}
        self.steps: dict[tuple[str, Pass], tuple[StackedStep, Step]] = {}

    @property
    def facts(self) -> dict[str, Any]:
        """Size of a chunk, and what ran in the loop and why."""
        looped = {
            f"{arch}: {', '.join(f'{run.stream} {run.loss}' for run in passes)}": support.reason
            for (arch, passes), support in self.support.items()
            if support.reason
        }
        return {"stacked": {"chunk": self.chunk, "graphs": self.graphs, "looped": looped}}

    def submit(self, jobs: Sequence[Job]) -> Results:
        """Run the jobs at once."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There is a performance drop")  # where vmap falls back to a loop
            clients = client_jobs(jobs)
            if clients:
                results: list[Any] = self._run_clients(clients)
            else:
                with JoinDevice(self.device):
                    results = [job.run(self) for job in jobs]
        return lambda: results

    def aggregate(
        self, algorithm: Algorithm, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key
    ) -> Tree:
        """As the CPU computes it up to rounding, on the device."""
        if self.server is None or self.server.origin is not hub:
            self.server = ServerOnDevice(hub, self.device)
        return self.server.aggregate(algorithm, server, uploads, phase, key)

    def close(self) -> None:
        """Nothing to end."""

    def _run_clients(self, jobs: Sequence[ClientJob]) -> list[ClientResult]:
        results: dict[int, ClientResult] = {}
        for kind, numbers in self._grouped(jobs).items():
            for start in range(0, len(numbers), self.chunk):
                chunk = numbers[start : start + self.chunk]
                results |= zip(chunk, self._run_chunk(kind, [jobs[number] for number in chunk]), strict=True)
        return [results[number] for number in range(len(jobs))]

    def _grouped(self, jobs: Sequence[ClientJob]) -> dict[Kind, list[int]]:
        """Numbers of the jobs of each kind, large clients first, so that chunks finish together."""
        groups: dict[Kind, list[int]] = {}
        for number in sorted(range(len(jobs)), key=lambda n: -self.federation.who(jobs[n].client).size):
            job = jobs[number]
            site = self.federation.site(job.client, job.phase, job.round)
            passes = tuple(replace(run, epochs=None, steps=None) for run in self.algorithm.passes(job.phase, site))
            groups.setdefault((site.who.arch, passes), []).append(number)
        return groups

    def _run_chunk(self, kind: Kind, jobs: list[ClientJob]) -> list[ClientResult]:
        model = self.federation.model(kind[0])
        if model.random and any(run.update for run in kind[1]):
            reason = f"network {model.arch} draws dropout from the generator of the process"
            self.support[kind] = StackingSupport(reason)
        if kind in self.support and self.support[kind].reason:
            return [job.run(self) for job in jobs]
        slots = [self._slot(job) for job in jobs]
        groups: dict[Any, list[Slot]] = {}
        for slot in slots:
            parts = (slot.local.params, slot.local.carry, slot.local.context)
            groups.setdefault(tuple(_shapes(part) for part in parts), []).append(slot)
        for group in groups.values():
            if kind not in self.support:
                self.support[kind] = self._probe_support(kind, group)
            if self.support[kind].reason:
                return [job.run(self) for job in jobs]
            with error_context(f"{group[0].session.where} and the clients stacked with it"):
                self._train(kind, group)
        return [self._closed(slot) for slot in slots]

    def _slot(self, job: ClientJob) -> Slot:
        session, message = job.open(self), serialization.decode(job.message)
        with error_context(session.where, override=True):
            torch.manual_seed(session.key("dropout").seed)
            local = prepare_state(self.algorithm.begin(session.memory, message, job.phase, session.site), session.site)
            trainers = [
                LocalTrainer(
                    self.algorithm, session.site, run, session.key("pass", number), self.precision, session.where
                )
                for number, run in enumerate(self.algorithm.passes(job.phase, session.site))
            ]
        return Slot(job, session, message, trainers, local)

    def _closed(self, slot: Slot) -> ClientResult:
        session = slot.session
        with error_context(session.where, override=True):
            torch.manual_seed(session.key("dropout").seed)
            phase, memory = slot.job.phase, session.memory
            update = finish_client(self.algorithm, session.site, phase, slot.message, memory, slot.local, slot.trainers)
        return slot.job.close(self, session, update)

    def _train(self, kind: Kind, slots: list[Slot]) -> None:
        """Run all passes; the slots' locals are afterwards what the loop would have made of them."""
        size = self._size(slots)
        steps = torch.zeros(size, dtype=torch.int64, device=self.device)
        params, carry, context = (self._stack(slots, part) for part in ("params", "carry", "context"))
        for number, padded in enumerate(self.support[kind].padded):
            stacked, step = self._step(kind, number, slots[0])
            state, rates = stacked.start(params, carry, steps), self._rates(slots[0], number)
            trainers, locals_ = [slot.trainers[number] for slot in slots], [slot.local for slot in slots]
            for batch, active in StackedBatches(trainers, locals_, self.images, size, padded):
                state = step(state, context, batch, rates, active)
            params, carry, steps = state["params"], state["carry"], state["steps"]
            self._check_losses(state, slots)
            for trainer, updates in zip(trainers, state["updates"].tolist(), strict=False):
                trainer.updates = updates
        ends = (trees.unstack(trees.map(Tensor.cpu, part), len(slots)) for part in (params, carry))
        for slot, own_params, own_carry, count in zip(slots, *ends, steps.tolist(), strict=False):
            slot.local = slot.local.having(params=own_params, carry=own_carry, steps=count)

    def _check_losses(self, state: Tree, slots: list[Slot]) -> None:
        """The one time per pass that the device is asked whether all losses were finite."""
        steps, losses = state["nonfinite_step"].tolist(), state["nonfinite_loss"].tolist()
        for slot, step, loss in zip(slots, steps, losses, strict=False):
            if step:
                raise Diverged(f"the loss is {loss} at step {step}", where=slot.session.where)

    def _size(self, slots: list[Slot]) -> int:
        return 1 if len(slots) == 1 else self.chunk

    def _stack(self, slots: list[Slot], part: str) -> Tree:
        """One tree on the device from a part of all locals; missing clients are copies of the first."""
        parts = [getattr(slot.local, part) for slot in slots]
        return self._on_device(trees.stack(parts + parts[:1] * (self._size(slots) - len(parts))))

    def _step(self, kind: Kind, number: int, slot: Slot) -> tuple[StackedStep, Step]:
        """A pass's step, kept for later rounds together with its graphs."""
        arch, run = kind[0], kind[1][number]
        if (arch, run) not in self.steps:
            optim = slot.trainers[number].optim
            stacked = StackedStep(self.algorithm, self.federation.model(arch), run, optim, self.precision, self.device)
            self.steps[arch, run] = stacked, CudaGraphStep(stacked) if self.graphs else stacked
        return self.steps[arch, run]

    def _rates(self, slot: Slot, number: int) -> Tree:
        rates = {"optim": slot.trainers[number].lr, "local": slot.local.lr}
        return {name: torch.tensor(rate, device=self.device) for name, rate in rates.items()}

    def _probe_support(self, kind: Kind, slots: list[Slot]) -> StackingSupport:
        """Take one step of every pass, and leave everything as it was."""
        padded = []
        for number, run in enumerate(kind[1]):
            try:
                padded.append(self._masks_work(kind, number, slots))
            except BenchmarkError:
                raise
            except Exception as error:  # whatever vmap refuses; if the method is at fault, the loop will say so
                return StackingSupport(f"{run.loss}: {type(error).__name__}: {str(error).splitlines()[0]}")
        return StackingSupport("", tuple(padded))

    def _masks_work(self, kind: Kind, number: int, slots: list[Slot]) -> bool:
        """Whether a masked sample more in the batch has no effect; raises if the pass cannot be stacked."""
        size = self._size(slots)
        params, carry, context = (self._stack(slots, part) for part in ("params", "carry", "context"))
        (stacked, _), rates = self._step(kind, number, slots[0]), self._rates(slots[0], number)
        state = stacked.start(params, carry, torch.zeros(size, dtype=torch.int64, device=self.device))
        trainers, locals_ = [slot.trainers[number] for slot in slots], [slot.local for slot in slots]
        before = trees.copy(state)
        for batch, active in StackedBatches(trainers, locals_, self.images, size, padded=False):
            after = stacked(state, context, batch, rates, active)
            if _shapes(after) != _shapes(state):
                raise TypeError("carry changes its shape from step to step")
            if distance(state, before, before) > 0:
                raise TypeError("parameters change in place")
            if stacked.model.buffers:  # BatchNorm's statistics take in whatever is in the batch
                return False
            masked = stacked(state, context, with_padding(batch), rates, active)
            return distance(after, masked, state) < 1e-3
        return False

    def logits(self, model: Model, params: Tree, start: int, stop: int) -> Tensor:
        """As of a worker, computed on the device."""
        params, answers = self._on_device(params), []
        batch = evaluate.BATCH if self.algorithm.own_inference else EVAL_BATCH  # which an inference may look at
        for rows in torch.split(torch.arange(start, stop, device=self.device), batch):
            with autocast(self.precision, self.device.type):
                answers.append(self.algorithm.predict(params, self._test.inputs(rows), model).detach())
        return torch.cat(answers).cpu()

    def load(self, arch: str, model: bytes) -> tuple[Model, Tree]:
        """As of a worker, with the parameters on the device."""
        net, params = super().load(arch, model)
        return net, self._on_device(params)

    def placed(self, stream: Stream) -> Stream:
        """The stream on the device."""
        return on_device(stream, stream.pixels.to(self.device))

    @cached_property
    def _test(self) -> Stream:
        return self.placed(self.federation.test)

    def _on_device(self, tree: Tree) -> Tree:
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

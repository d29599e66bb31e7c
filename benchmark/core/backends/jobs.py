"""Jobs for workers: one client's work in a round, and evaluations of models. A job runs itself on a worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from benchmark.core import tree as trees
from benchmark.core.api import Phase, Site
from benchmark.core.backends.worker import Worker
from benchmark.core.client import evaluate, linear_probe
from benchmark.core.client.evaluate import ClassSums
from benchmark.core.client.federation import Federation
from benchmark.core.client.local_training import ClientUpdate, Work, run_client
from benchmark.core.errors import Diverged, error_context
from benchmark.core.keys import Key
from benchmark.core.storage import checkpoint, serialization
from benchmark.core.tree import Tree


class Job(ABC):
    """A piece of work for a worker.

    Attributes:
        PAYLOAD: Name of the field that holds an encoded message or model, which may be large.
    """

    PAYLOAD: ClassVar[str]

    @abstractmethod
    def run(self, worker: Worker) -> Any:
        """Do the work; the result is picklable."""

    def samples(self, size: Callable[[int], int]) -> int:
        """Training samples of the job, by which the longest jobs start first; size: a client's number of samples."""
        return 0


@dataclass(frozen=True)
class ClientResult:
    """What a client's work in a round leaves.

    Attributes:
        upload: The encoded upload.
        has_memory: Whether the client has a memory, which is then in the job's `memory_out`.
        accuracies: In-local and out-local accuracy of the client's model, if the job asks for them.
        work: What the local work took.
    """

    upload: serialization.EncodedMessage
    has_memory: bool
    accuracies: tuple[float, float] | None
    work: Work


class ClientSession(NamedTuple):
    """What a client works with in one round; where: phase, round and client in words."""

    site: Site
    memory: Tree
    key: Key
    where: str


@dataclass(frozen=True)
class ClientJob(Job):
    """One client in one round.

    Attributes:
        client: Number of the client.
        phase: Phase of the round.
        round: Round within the phase, counted from 0.
        number: Round within the whole run, counted from 1.
        message: Encoded download.
        memory_in: File of the client's memory, None at its first participation.
        memory_out: File for its new memory.
        evaluate: Whether the model is also evaluated after the local work.
    """

    PAYLOAD = "message"

    client: int
    phase: Phase
    round: int
    number: int
    message: bytes
    memory_in: Path | None
    memory_out: Path
    evaluate: bool = False

    @property
    def where(self) -> str:
        """Phase, round and client, as errors name them."""
        return f"phase {self.phase.name}, round {self.number}, client {self.client}"

    def key(self, federation: Federation) -> Key:
        """The key of everything random in this job."""
        return federation.visit_key(self.client, self.phase, self.round)

    def samples(self, size: Callable[[int], int]) -> int:
        """The client's number of samples."""
        return size(self.client)

    def run(self, worker: Worker) -> ClientResult:
        """Decode the download, do the local work, encode the upload."""
        session = self.open(worker)
        with error_context(session.where, override=True):
            update = run_client(
                worker.algorithm,
                session.site,
                self.phase,
                serialization.decode(self.message),
                session.memory,
                session.key,
                worker.precision,
                cached=True,
            )
        return self.close(worker, session, update)

    def open(self, worker: Worker) -> ClientSession:
        """What the client works with; its memory is created at its first participation."""
        federation = worker.federation
        site = federation.site(self.client, self.phase, self.round)
        if self.memory_in:
            memory = checkpoint.load_memory(self.memory_in)
        else:
            with error_context(self.where, override=True), torch.no_grad():
                memory = federation.first_memory(worker.algorithm, site)
        return ClientSession(site, memory, self.key(federation), self.where)

    def close(self, worker: Worker, session: ClientSession, update: ClientUpdate) -> ClientResult:
        """Encode the upload, save the memory, evaluate the model if asked to."""
        upload = serialization.encode(update.upload, f"upload in {session.where}")
        has_memory = bool(session.memory or update.memory)  # a client that empties its memory still has one
        if has_memory:
            self._save(update.memory)
        accuracies = None
        if self.evaluate and not worker.algorithm.own_inference:  # whose trees are not what a client trains
            accuracies = self._accuracies(worker, update.params)
        return ClientResult(upload, has_memory, accuracies, update.work)

    def _save(self, memory: Tree) -> None:
        serialization.check(memory, f"memory in {self.where}")
        if path := trees.finite(memory):
            raise Diverged(f"memory {path} is not finite", where=self.where)
        checkpoint.save(self.memory_out, memory, {"client": self.client, "round": self.number}, sync=False)

    def _accuracies(self, worker: Worker, params: Tree) -> tuple[float, float]:
        federation, test = worker.federation, worker.federation.test
        model, data = federation.model(federation.who(self.client).arch), federation.private(self.client)
        sums = worker.class_sums(model, params, 0, test.size)
        return evaluate.local_accuracies(sums.hits, test.counts.tolist(), (data.counts / data.size).tolist())


@dataclass(frozen=True)
class EvaluateJob(Job):
    """What a model's answers to rows start..stop-1 of the test set add up to."""

    PAYLOAD = "model"

    arch: str
    model: bytes
    start: int
    stop: int

    def run(self, worker: Worker) -> ClassSums:
        """Classify the rows."""
        return worker.class_sums(*worker.load(self.arch, self.model), self.start, self.stop)


@dataclass(frozen=True)
class PredictJob(Job):
    """What a model answers to every test image."""

    PAYLOAD = "model"

    arch: str
    model: bytes

    def run(self, worker: Worker) -> np.ndarray:
        """Logits (n, classes), float32."""
        answers = worker.logits(*worker.load(self.arch, self.model), 0, worker.federation.test.size)
        return answers.float().numpy()


@dataclass(frozen=True)
class ProbeJob(Job):
    """What the answers of a linear layer on frozen features, trained on all labels, add up to on the test set."""

    PAYLOAD = "model"

    arch: str
    model: bytes

    def run(self, worker: Worker) -> ClassSums:
        """Train the layer, then classify the test set."""
        model, params = worker.load(self.arch, self.model)
        federation = worker.federation
        union, test = worker.placed(federation.all_client_data), worker.placed(federation.test)
        spec, key = federation.task.probe, federation.key("probe")
        assert spec is not None
        layer = linear_probe.fit(worker.features(model, params, union), union.labels, union.classes, key, spec)
        logits = linear_probe.logits(layer, worker.features(model, params, test))
        return evaluate.class_sums(logits.cpu(), test.labels, test.classes)


@dataclass(frozen=True)
class RepresentationJob(Job):
    """Angles between test samples' features, and accuracies after fine-tuning with few labels."""

    PAYLOAD = "model"

    arch: str
    model: bytes

    def run(self, worker: Worker) -> dict[str, Any]:
        """Measure the angles, fine-tune with each share of labels."""
        model, params = worker.load(self.arch, self.model)
        federation = worker.federation
        union, test = worker.placed(federation.all_client_data), worker.placed(federation.test)
        spec, key = federation.task.probe, federation.key("fine-tuning")
        assert spec is not None
        within, between = linear_probe.angles(worker.features(model, params, test), test.labels)
        accuracies = {
            share: linear_probe.fine_tuned(model, params, union, test, share, key("share", str(share)), spec)
            for share in spec.labelled
        }
        return {
            "angle_within": round(within, 4),
            "angle_between": round(between, 4),
            "fine_tuned": [[share, round(accuracy, 6)] for share, accuracy in accuracies.items()],
        }


def client_jobs(jobs: Sequence[Job]) -> list[ClientJob]:
    """The clients' jobs among jobs that were submitted together, which are all or none of them."""
    return [job for job in jobs if isinstance(job, ClientJob)]

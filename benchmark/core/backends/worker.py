"""What a worker does: visit a client, judge a model, probe a representation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor

from benchmark.core import tree as trees
from benchmark.core.api import Site
from benchmark.core.backends.base import ClientJob, ClientResult, EvaluateJob, ProbeJob, WorkerConfig
from benchmark.core.client import evaluate, linear_probe
from benchmark.core.client.local_training import ClientUpdate, visit
from benchmark.core.data.batches import Stream
from benchmark.core.errors import BenchmarkError, Diverged, blamed
from benchmark.core.keys import Key
from benchmark.core.models.functional import Model
from benchmark.core.storage import checkpoint, serialization
from benchmark.core.tree import Tree


@contextmanager
def at(where: str) -> Iterator[None]:
    """Every failure within says that it happened there."""
    try:
        with blamed(where):
            yield
    except BenchmarkError as error:
        error.where = where
        raise


class ClientSession(NamedTuple):
    """A client on its visit: what it sees, remembers and draws from, and where that is, in words."""

    site: Site
    memory: Tree
    key: Key
    where: str


class Worker:
    """One per process; keeps networks and mapped data between jobs."""

    def __init__(self, setting: WorkerConfig) -> None:
        self.algorithm = setting.algorithm()
        self.federation = setting.federation(self.algorithm)
        self.precision = setting.precision

    def visit(self, job: ClientJob) -> ClientResult:
        """Decode, work, encode."""
        guest = self.arrive(job)
        with at(guest.where):
            done = visit(
                self.algorithm,
                guest.site,
                job.phase,
                serialization.decode(job.message),
                guest.memory,
                guest.key,
                self.precision,
            )
        return self.leave(job, guest, done)

    def arrive(self, job: ClientJob) -> ClientSession:
        """What a client brings along: its memory, made anew at its first participation."""
        site = self.federation.site(job.client, job.phase, job.round)
        key = self.federation.key("phase", job.phase.name, "round", job.round, "client", job.client)
        where = f"phase {job.phase.name}, round {job.number}, client {job.client}"
        if job.memory:
            return ClientSession(site, checkpoint.load_memory(job.memory), key, where)
        with at(where):
            return ClientSession(site, self.algorithm.init_client(site, self.federation.birth(job.client)), key, where)

    def leave(self, job: ClientJob, guest: ClientSession, done: ClientUpdate) -> ClientResult:
        """Encode the upload, save the memory, judge the model if asked to."""
        parcel = serialization.encode(done.upload, f"upload in {guest.where}")
        remembers = bool(guest.memory or done.memory)  # an emptied memory is one as well
        if remembers:
            self._save(job, done.memory, guest.where)
        return ClientResult(parcel, remembers, self._accuracies(job, done.params) if job.judged else None)

    def judge(self, job: EvaluateJob) -> list[int]:
        """Correct samples per class."""
        model, params = self.federation.model(job.arch), serialization.decode(job.model)
        assert params is not None
        return self.correct(model, params, job.start, job.stop)

    def probe(self, job: ProbeJob) -> list[int]:
        """Correct samples per class, by a linear layer that is trained on the spot."""
        federation, params = self.federation, serialization.decode(job.model)
        assert params is not None
        model, union, test = federation.model(job.arch), federation.union, federation.test
        spec, key = federation.task.probe, federation.key("probe")
        assert spec is not None
        layer = linear_probe.fit(self.features(model, params, union), union.labels, union.classes, key, spec)
        return linear_probe.correct(layer, self.features(model, params, test), test.labels, test.classes)

    def represent(self, job: ProbeJob) -> dict[str, Any]:
        """Angles between test samples' features, and accuracies after fine-tuning with few labels."""
        federation, params = self.federation, serialization.decode(job.model)
        assert params is not None
        model, union, test = federation.model(job.arch), federation.union, federation.test
        spec, key = federation.task.probe, federation.key("fine-tuning")
        assert spec is not None
        within, between = linear_probe.angles(self.features(model, params, test), test.labels)
        tuned = {
            s: linear_probe.fine_tuned(model, params, union, test, s, key("share", str(s)), spec) for s in spec.labelled
        }
        return {
            "angle_within": round(within, 4), "angle_between": round(between, 4),
            "fine_tuned": [[share, round(accuracy, 6)] for share, accuracy in tuned.items()],
        }  # fmt: skip

    def correct(self, model: Model, params: Tree, start: int, stop: int) -> list[int]:
        """Correct samples per class among rows of the test set."""
        return evaluate.correct(model, params, self.federation.test, start, stop, self.precision)

    def features(self, model: Model, params: Tree, stream: Stream) -> Tensor:
        """What a probe reads."""
        return linear_probe.features(model, params, stream, self.precision)

    def _save(self, job: ClientJob, memory: Tree, where: str) -> None:
        serialization.check(memory, f"memory in {where}")
        if path := trees.finite(memory):
            raise Diverged(f"memory {path} is not finite", where=where)
        checkpoint.save(job.leave, memory, {"client": job.client, "round": job.number}, sync=False)

    def _accuracies(self, job: ClientJob, params: Tree) -> tuple[float, float]:
        federation, test = self.federation, self.federation.test
        model = federation.model(federation.who(job.client).arch)
        hits = self.correct(model, params, 0, test.size)
        own = federation.private(job.client)
        return evaluate.local_accuracies(hits, test.counts.tolist(), (own.counts / own.size).tolist())

"""What a worker does: visit a client, judge a model, probe a representation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from benchmark.core import checkpoint, evaluate, probe, wire
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Phase, Site
from benchmark.core.data.streams import Stream
from benchmark.core.errors import BenchmarkError, Diverged, blamed
from benchmark.core.federation import Federation
from benchmark.core.keys import Key
from benchmark.core.local import Done, visit
from benchmark.core.model import Model
from benchmark.core.tree import Tree


@dataclass(frozen=True)
class Setting:
    """How a worker gets what it works with; both functions must be picklable."""

    federation: Callable[[Algorithm], Federation]
    algorithm: Callable[[], Algorithm]
    precision: str = "fp32"


@dataclass(frozen=True)
class Visit:
    """One client in one round.

    round: counted from 0 within the phase; number: counted from 1 over the whole run
    message: encoded download; memory: file of the client's memory, None at the first participation
    leave: file for the new memory; judged: also judge the model after local work
    """

    client: int
    phase: Phase
    round: int
    number: int
    message: bytes
    memory: Path | None
    leave: Path
    judged: bool = False


@dataclass(frozen=True)
class Visited:
    """What comes back: the encoded upload, whether there is a memory, (in-local, out-local) accuracy if judged."""

    upload: wire.Parcel
    remembers: bool
    accuracies: tuple[float, float] | None


@dataclass(frozen=True)
class Judge:
    """Rows start..stop-1 of the test set under a model."""

    arch: str
    model: bytes
    start: int
    stop: int


@dataclass(frozen=True)
class Probe:
    """The whole test set in the light of a model's features."""

    arch: str
    model: bytes


Results = Callable[[], list[Any]]


class Backend(Protocol):
    """Runs jobs; results come in the order of the jobs."""

    workers: int

    def submit(self, what: str, jobs: Any) -> Results:
        """Begin jobs of the worker's method `what`; calling what is returned waits for their results."""

    @property
    def facts(self) -> dict[str, Any]:
        """What there is to say of how they ran, for the file beside a record."""
        return {}

    def map(self, what: str, jobs: Any) -> list[Any]:
        """Results of the worker's method `what`."""
        return self.submit(what, jobs)()

    def close(self) -> None:
        """End worker processes."""


@contextmanager
def at(where: str) -> Iterator[None]:
    """Every failure within says that it happened there."""
    try:
        with blamed(where):
            yield
    except BenchmarkError as error:
        error.where = where
        raise


class Guest(NamedTuple):
    """A client on its visit: what it sees, remembers and draws from, and where that is, in words."""

    site: Site
    memory: Tree
    key: Key
    where: str


class Worker:
    """One per process; keeps networks and mapped data between jobs."""

    def __init__(self, setting: Setting) -> None:
        self.algorithm = setting.algorithm()
        self.federation = setting.federation(self.algorithm)
        self.precision = setting.precision

    def visit(self, job: Visit) -> Visited:
        """Decode, work, encode."""
        guest = self.arrive(job)
        with at(guest.where):
            done = visit(
                self.algorithm, guest.site, job.phase, wire.decode(job.message), guest.memory, guest.key, self.precision
            )
        return self.leave(job, guest, done)

    def arrive(self, job: Visit) -> Guest:
        """What a client brings along: its memory, made anew at its first participation."""
        site = self.federation.site(job.client, job.phase, job.round)
        key = self.federation.key("phase", job.phase.name, "round", job.round, "client", job.client)
        where = f"phase {job.phase.name}, round {job.number}, client {job.client}"
        if job.memory:
            return Guest(site, checkpoint.load_memory(job.memory), key, where)
        with at(where):
            return Guest(site, self.algorithm.init_client(site, self.federation.birth(job.client)), key, where)

    def leave(self, job: Visit, guest: Guest, done: Done) -> Visited:
        """Encode the upload, save the memory, judge the model if asked to."""
        parcel = wire.encode(done.upload, f"upload in {guest.where}")
        remembers = bool(guest.memory or done.memory)  # an emptied memory is one as well
        if remembers:
            self._save(job, done.memory, guest.where)
        return Visited(parcel, remembers, self._accuracies(job, done.params) if job.judged else None)

    def judge(self, job: Judge) -> list[int]:
        """Correct samples per class."""
        model, params = self.federation.model(job.arch), wire.decode(job.model)
        assert params is not None
        return self.correct(model, params, job.start, job.stop)

    def probe(self, job: Probe) -> list[int]:
        """Correct samples per class, by a linear layer that is trained on the spot."""
        federation, params = self.federation, wire.decode(job.model)
        assert params is not None
        model, union, test = federation.model(job.arch), federation.union, federation.test
        spec, key = federation.task.probe, federation.key("probe")
        assert spec is not None
        layer = probe.fit(self.features(model, params, union), union.labels, union.classes, key, spec)
        return probe.correct(layer, self.features(model, params, test), test.labels, test.classes)

    def represent(self, job: Probe) -> dict[str, Any]:
        """Angles between test samples' features, and accuracies after fine-tuning with few labels."""
        federation, params = self.federation, wire.decode(job.model)
        assert params is not None
        model, union, test = federation.model(job.arch), federation.union, federation.test
        spec, key = federation.task.probe, federation.key("fine-tuning")
        assert spec is not None
        within, between = probe.angles(self.features(model, params, test), test.labels)
        tuned = {s: probe.fine_tuned(model, params, union, test, s, key("share", str(s)), spec) for s in spec.labelled}
        return {
            "angle_within": round(within, 4), "angle_between": round(between, 4),
            "fine_tuned": [[share, round(accuracy, 6)] for share, accuracy in tuned.items()],
        }  # fmt: skip

    def correct(self, model: Model, params: Tree, start: int, stop: int) -> list[int]:
        """Correct samples per class among rows of the test set."""
        return evaluate.correct(model, params, self.federation.test, start, stop, self.precision)

    def features(self, model: Model, params: Tree, stream: Stream) -> Tensor:
        """What a probe reads."""
        return probe.features(model, params, stream, self.precision)

    def _save(self, job: Visit, memory: Tree, where: str) -> None:
        wire.check(memory, f"memory in {where}")
        if path := trees.finite(memory):
            raise Diverged(f"memory {path} is not finite", where=where)
        checkpoint.save(job.leave, memory, {"client": job.client, "round": job.number}, sync=False)

    def _accuracies(self, job: Visit, params: Tree) -> tuple[float, float]:
        federation, test = self.federation, self.federation.test
        model = federation.model(federation.who(job.client).arch)
        hits = self.correct(model, params, 0, test.size)
        own = federation.private(job.client)
        return evaluate.local_accuracies(hits, test.counts.tolist(), (own.counts / own.size).tolist())

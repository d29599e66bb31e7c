"""What a backend runs and returns: jobs of clients and of evaluation, and the protocol of all backends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmark.core.api import Algorithm, Phase
from benchmark.core.client.federation import Federation
from benchmark.core.storage import serialization


@dataclass(frozen=True)
class WorkerConfig:
    """How a worker gets what it works with; both functions must be picklable."""

    federation: Callable[[Algorithm], Federation]
    algorithm: Callable[[], Algorithm]
    precision: str = "fp32"


@dataclass(frozen=True)
class ClientJob:
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
class ClientResult:
    """What comes back: the encoded upload, whether there is a memory, (in-local, out-local) accuracy if judged."""

    upload: serialization.EncodedMessage
    remembers: bool
    accuracies: tuple[float, float] | None


@dataclass(frozen=True)
class EvaluateJob:
    """Rows start..stop-1 of the test set under a model."""

    arch: str
    model: bytes
    start: int
    stop: int


@dataclass(frozen=True)
class ProbeJob:
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

"""The interface of all backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from benchmark.core.api import Algorithm, Hub, Key, Phase, Tree, Upload
from benchmark.core.backends.jobs import Job

Results = Callable[[], list[Any]]
"""Waits for the results of jobs and returns them in the order of the jobs."""


class Backend(ABC):
    """Runs jobs on workers. Whichever backend runs them, results are equal.

    Attributes:
        workers: Number of workers.
    """

    workers: int = 1

    @property
    def facts(self) -> dict[str, Any]:
        """How the jobs were run, for the file beside a record."""
        return {}

    @abstractmethod
    def submit(self, jobs: Sequence[Job]) -> Results:
        """Start jobs, behind those that already wait.

        Args:
            jobs: Jobs of clients in one round, or of an evaluation.
        """

    def map(self, jobs: Sequence[Job]) -> list[Any]:
        """Results of jobs, in the order of the jobs."""
        return self.submit(jobs)()

    def aggregate(
        self, algorithm: Algorithm, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key
    ) -> Tree:
        """The server's memory after a round, as `Algorithm.aggregate` computes it in this process."""
        return algorithm.aggregate(server, uploads, phase, hub, key)

    @abstractmethod
    def close(self) -> None:
        """End worker processes."""

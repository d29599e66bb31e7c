"""All work in this process, one job after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmark.core.backends.base import Backend, Results, WorkerConfig
from benchmark.core.backends.worker import Worker


class SerialBackend(Backend):
    """reverse: work through jobs from the last to the first; results must not change, and the tests say so."""

    workers = 1

    def __init__(self, setting: WorkerConfig, reverse: bool = False) -> None:
        self.worker, self.reverse = Worker(setting), reverse

    def submit(self, what: str, jobs: Sequence[Any]) -> Results:
        """Do the jobs at once."""
        method = getattr(self.worker, what)
        results = [method(job) for job in (reversed(jobs) if self.reverse else jobs)]
        return lambda: results[::-1] if self.reverse else results

    def close(self) -> None:
        """Nothing to end."""

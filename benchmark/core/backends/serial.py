"""Runs all jobs in this process, one after another."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.core.backends.base import Backend, Results
from benchmark.core.backends.jobs import Job
from benchmark.core.backends.worker import Worker, WorkerConfig


class SerialBackend(Backend):
    """reverse: run jobs from the last to the first; results must not change, and the tests say so."""

    def __init__(self, config: WorkerConfig, reverse: bool = False) -> None:
        self.worker, self.reverse = Worker(config), reverse

    def submit(self, jobs: Sequence[Job]) -> Results:
        """Run the jobs at once."""
        results = [job.run(self.worker) for job in (reversed(jobs) if self.reverse else jobs)]
        return lambda: results[::-1] if self.reverse else results

    def close(self) -> None:
        """Nothing to end."""

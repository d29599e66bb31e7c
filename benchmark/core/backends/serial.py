"""All work in this process, one job after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmark.core.backends.worker import Setting, Worker


class Serial:
    """reverse: work through jobs from the last to the first; results must not change, and the tests say so."""

    workers = 1

    def __init__(self, setting: Setting, reverse: bool = False) -> None:
        self.worker, self.reverse = Worker(setting), reverse
        self.facts: dict[str, Any] = {}

    def map(self, what: str, jobs: Sequence[Any]) -> list[Any]:
        """Results of the worker's method `what`, in the order of the jobs."""
        method = getattr(self.worker, what)
        if self.reverse:
            return [method(job) for job in reversed(jobs)][::-1]
        return [method(job) for job in jobs]

    def close(self) -> None:
        """Nothing to end."""

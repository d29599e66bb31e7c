"""What a run uses up: rounds, visits, optimiser steps and images, by phase, counted by the engine and not promised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.core.backends.jobs import ClientJob, ClientResult

KINDS = {"private": "private", "views": "private", "joined": "joined", "public": "public"}  # of images, by stream


class BudgetCounter:
    """Counts by phase; see `records.record.PhaseBudget`.

    Attributes:
        phases: Counts of each phase, in the order of the phases.
        served: Clients that were fed public images.
    """

    def __init__(self) -> None:
        self.phases: dict[str, dict[str, Any]] = {}
        self.served: set[int] = set()

    def record(self, jobs: Sequence[ClientJob], results: Sequence[ClientResult], server: Mapping[str, int]) -> None:
        """Count one round; server: images that it read, by side."""
        zeros: dict[str, Any] = {
            "rounds": 0,
            "visits": 0,
            "steps": 0,
            "most_steps": 0,
            "images": {},
            "most_images": 0,
            "server": {},
        }
        counts = self.phases.setdefault(jobs[0].phase.name, zeros)
        counts["rounds"] += 1
        for job, result in zip(jobs, results, strict=True):
            work = result.work
            counts["visits"] += 1
            counts["steps"] += work.steps
            counts["most_steps"] = max(counts["most_steps"], work.steps)
            counts["most_images"] = max(counts["most_images"], sum(work.images.values()))
            for stream, images in work.images.items():
                _add(counts["images"], {KINDS[stream]: images})
            if work.images.get("public"):
                self.served.add(job.client)
        _add(counts["server"], server)

    def to_json(self) -> dict[str, Any]:
        """A plain description that `from_json` restores."""
        return {"phases": self.phases, "served": sorted(self.served)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BudgetCounter:
        """The counter that `to_json` described."""
        counter = cls()
        counter.phases, counter.served = data["phases"], set(data["served"])
        return counter

    def result(self) -> list[dict[str, Any]]:
        """Counts of the phases as a record has them."""
        return [{"phase": name, **counts} for name, counts in self.phases.items()]


def _add(sums: dict[str, int], numbers: Mapping[str, int]) -> None:
    sums.update(Counter(sums) + Counter(numbers))

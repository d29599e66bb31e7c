"""What protocol 2 measures of rounds: the budget that they use up, and how far their clients drift apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmark.core.api import Upload
from benchmark.core.backends.jobs import ClientJob, ClientResult
from benchmark.core.client.federation import Federation
from benchmark.core.data.batches import images_read
from benchmark.core.server.budget import BudgetCounter
from benchmark.core.server.metrics import upload_drift


class Measurements:
    """Measurements of a run so far; nothing is measured on tasks of protocol 1, whose records stay as they are."""

    def __init__(self, federation: Federation) -> None:
        self.federation, self.active = federation, federation.task.protocol > 1
        self.budget, self.images_read = BudgetCounter(), images_read(federation.hub)
        self.drift: dict[int, dict[str, float]] = {}  # by round, until its evaluation is there

    def record(
        self, number: int, jobs: Sequence[ClientJob], results: Sequence[ClientResult], uploads: Sequence[Upload],
        evaluated: bool,
    ) -> None:  # fmt: skip
        """Measure a round; drift is measured where the round's models are evaluated."""
        if not self.active:
            return
        before, self.images_read = self.images_read, images_read(self.federation.hub)
        server = {side: images - before[side] for side, images in self.images_read.items()}
        self.budget.record(jobs, results, server)
        if evaluated:
            messages = {job.client: job.message for job in jobs}
            drift = upload_drift(messages, uploads, self.federation.model)
            self.drift[number] = {name: round(value, 6) for name, value in drift._asdict().items()} if drift else {}

    def scores(self, number: int) -> dict[str, float]:
        """What an evaluation after this round holds besides accuracy."""
        return self.drift.pop(number, {})

    def result(self) -> dict[str, Any]:
        """What a result holds besides its evaluations."""
        return {"budget": self.budget.result()} if self.active else {}

    def delivery(self) -> dict[str, int]:
        """Bytes of the task's public images to every client that was fed any, once, as they are stored."""
        if not self.active:
            return {}
        pixels = self.federation.public.pixels if self.federation.public else None
        return {"delivery": len(self.budget.served) * (pixels.nbytes if pixels is not None else 0)}

    def to_json(self) -> dict[str, Any]:
        """A plain description that `restore` takes back."""
        return {"budget": self.budget.to_json(), "drift": [[number, drift] for number, drift in self.drift.items()]}

    def restore(self, data: dict[str, Any]) -> None:
        """Go on from what `to_json` described."""
        self.budget, self.drift = BudgetCounter.from_json(data["budget"]), {n: drift for n, drift in data["drift"]}

"""Clients in processes of their own, one for each visit; models are judged in this process, which runs no method."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmark.core import tree as trees
from benchmark.core.backends.base import Backend, ClientJob, ClientResult, Results, WorkerConfig
from benchmark.core.backends.worker import ClientSession, Worker
from benchmark.core.client.federation import Federation
from benchmark.core.client.local_training import ClientUpdate
from benchmark.core.errors import Diverged
from benchmark.core.isolation.handlers import Client
from benchmark.core.isolation.remote_algorithm import RemoteAlgorithm
from benchmark.core.storage import checkpoint, serialization
from benchmark.core.tree import Tree


class IsolatedBackend(Backend):
    """workers: clients at work at the same time."""

    def __init__(
        self, method: RemoteAlgorithm, federation: Federation, precision: str = "fp32", workers: int = 1
    ) -> None:
        algorithm: Any = method
        self.method, self.federation, self.workers = method, federation, workers
        self.worker = Worker(WorkerConfig(lambda _: federation, lambda: algorithm, precision))
        self.threads = ThreadPoolExecutor(workers)
        method.hub = federation.hub

    @property
    def facts(self) -> dict[str, Any]:
        """What the system could not enforce."""
        return {"audit": {"not_enforced": self.method.gaps}}

    def submit(self, what: str, jobs: Sequence[Any]) -> Results:
        """Begin visits; judge at once."""
        if what != "visit":
            results = [getattr(self.worker, what)(job) for job in jobs]
            return lambda: results
        visits = [self.threads.submit(self._visit, job) for job in jobs]

        def gathered() -> list[ClientResult]:
            try:
                done = [visit.result() for visit in visits]
            finally:
                for visit in visits:
                    visit.cancel()
            return [self.worker.leave(job, guest, left) for job, (guest, left) in zip(jobs, done, strict=True)]

        return gathered

    def close(self) -> None:
        """Wait for visits under way, end the server's process."""
        self.threads.shutdown(cancel_futures=True)
        self.method.close()

    def _visit(self, job: ClientJob) -> tuple[ClientSession, ClientUpdate]:
        """As `Worker.visit`, elsewhere; this process looks at what comes back before it believes it."""
        site = self.federation.site(job.client, job.phase, job.round)
        key = self.federation.key("phase", job.phase.name, "round", job.round, "client", job.client)
        guest = ClientSession(site, {}, key, f"phase {job.phase.name}, round {job.number}, client {job.client}")
        with self.method.room(Client) as room:
            memory = self._memory(job, guest, room)
            arguments = (
                *self.method.luggage(site),
                job.phase,
                job.message,
                serialization.encode(memory, guest.where).data,
            )
            answer = room.ask("visit", *arguments, key.names, self.worker.precision, where=guest.where, key=key)
        upload = answer.tree(1, guest.where) if answer.facts.get("uploads") is True else None
        if upload is not None and (path := trees.finite(upload)):
            raise Diverged(f"upload {path} is not finite", where=guest.where)
        return guest._replace(memory=memory), ClientUpdate(
            answer.tree(0, guest.where), upload, answer.tree(2, guest.where)
        )

    def _memory(self, job: ClientJob, guest: ClientSession, room: Any) -> Tree:
        if job.memory:
            return checkpoint.load_memory(job.memory)
        return self.method.born(room, guest.site, self.federation.birth(job.client))

"""Runs every client job in a sandboxed process of its own; models are evaluated in this process."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from benchmark.core import tree as trees
from benchmark.core.backends.base import Backend, Results
from benchmark.core.backends.jobs import ClientJob, ClientResult, ClientSession, Job, client_jobs
from benchmark.core.backends.worker import Worker, WorkerConfig
from benchmark.core.client.federation import Federation
from benchmark.core.client.local_training import ClientUpdate, Work
from benchmark.core.errors import Diverged
from benchmark.core.isolation.handlers import ClientHandler
from benchmark.core.isolation.remote_algorithm import RemoteAlgorithm, counts, expect
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

    def submit(self, jobs: Sequence[Job]) -> Results:
        """Start clients' jobs; run others at once."""
        if not (clients := client_jobs(jobs)):
            results = [job.run(self.worker) for job in jobs]
            return lambda: results
        return partial(self._results, clients, [self.threads.submit(self._run, job) for job in clients])

    def close(self) -> None:
        """Wait for running jobs, then end the server's process."""
        self.threads.shutdown(cancel_futures=True)
        self.method.close()

    def _results(
        self, jobs: Sequence[ClientJob], futures: Sequence[Future[tuple[ClientSession, ClientUpdate]]]
    ) -> list[ClientResult]:
        try:
            updates = [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
        return [job.close(self.worker, *update) for job, update in zip(jobs, updates, strict=True)]

    def _run(self, job: ClientJob) -> tuple[ClientSession, ClientUpdate]:
        """As `ClientJob.run`, but in a sandboxed process; what comes back is checked before it is used."""
        site, key, where = self.federation.site(job.client, job.phase, job.round), job.key(self.federation), job.where
        with self.method.process(ClientHandler) as process:
            if job.memory_in:
                memory: Tree = checkpoint.load_memory(job.memory_in)
            else:
                init = self.federation.client_init_key(job.client)
                memory = self.method.init_client_in(process, replace(site, key=init("site")), init)
            encoded = serialization.encode(memory, where).data
            payload = *self.method.client_payload(site), job.phase, job.message, encoded, key.names
            response = process.call("visit", *payload, self.worker.precision, where=where, key=key)
        upload = response.tree(1, where) if response.facts.get("uploads") is True else None
        if upload is not None and (path := trees.finite(upload)):
            raise Diverged(f"upload {path} is not finite", where=where)
        work = Work(expect(int, response.facts.get("steps")), counts(response.facts.get("images")))
        update = ClientUpdate(response.tree(0, where), upload, response.tree(2, where), work)
        return ClientSession(site, memory, key, where), update

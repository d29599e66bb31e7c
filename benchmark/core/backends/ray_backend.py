"""Jobs on a Ray cluster; those of a lost machine run again on another."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.core.backends.base import Backend, Results
from benchmark.core.backends.jobs import ClientJob, ClientResult, Job, client_jobs
from benchmark.core.backends.worker import Worker, WorkerConfig
from benchmark.core.client import determinism
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import write_atomic

RETRIES = 5  # machines that may be lost under one job

_workers: dict[str, Worker] = {}


def _worker(config: WorkerConfig, cell: str) -> Worker:
    """The worker of a cell in this process of the cluster, kept for further jobs of the same cell."""
    determinism.enable()
    if cell not in _workers:
        _workers.clear()
        _workers[cell] = Worker(config)
    return _workers[cell]


def _run(config: WorkerConfig, cell: str, job: Job) -> Any:
    return job.run(_worker(config, cell))


def _run_client(
    config: WorkerConfig, cell: str, job: ClientJob, memory: bytes | None
) -> tuple[ClientResult, bytes | None]:
    """The result and the client's new memory, if it has one; memory: the client's memory before the round."""
    with tempfile.TemporaryDirectory() as folder:
        local = replace(job, memory_out=Path(folder, job.memory_out.name))
        if job.memory_in is not None and memory is not None:
            local = replace(local, memory_in=Path(folder, job.memory_in.name))
            Path(folder, job.memory_in.name).write_bytes(memory)
        result = local.run(_worker(config, cell))
        return result, local.memory_out.read_bytes() if result.has_memory else None


class RayBackend(Backend):
    """address: of the cluster, or "auto"; size: a client's number of samples, to start the longest jobs first.

    Every machine needs the same installation of fedrepro, and reads the data from its own cache.
    """

    def __init__(self, config: WorkerConfig, cell: str, address: str, size: Callable[[int], int]) -> None:
        connect(address)
        import ray

        self.ray, self.cell, self.size = ray, cell, size
        self.workers = int(ray.cluster_resources()["CPU"])
        self.config = ray.put(config)
        remote = ray.remote(num_cpus=1, max_retries=RETRIES)
        self.run, self.run_client = remote(_run), remote(_run_client)

    @property
    def facts(self) -> dict[str, Any]:
        """That clients were spread over a cluster."""
        return {"engine": "ray"}

    def submit(self, jobs: Sequence[Job]) -> Results:
        """Queue the jobs for the cluster."""
        if not (clients := client_jobs(jobs)):
            references = [self.run.remote(self.config, self.cell, job) for job in jobs]
            return lambda: [self._get(reference) for reference in references]
        longest_first = sorted(clients, key=lambda job: -job.samples(self.size))
        by_client = {job.client: self._send(job) for job in longest_first}
        return lambda: [self._client_result(job, by_client[job.client]) for job in clients]

    def close(self) -> None:
        """Leave the cluster; what still runs there is stopped."""
        self.ray.shutdown()

    def _send(self, job: ClientJob) -> Any:
        memory = job.memory_in.read_bytes() if job.memory_in else None
        return self.run_client.remote(self.config, self.cell, job, memory)

    def _client_result(self, job: ClientJob, reference: Any) -> ClientResult:
        result, memory = self._get(reference)
        if memory is not None:
            write_atomic(job.memory_out, memory, sync=False)
        return result

    def _get(self, reference: Any) -> Any:
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self.ray.exceptions.RayError as error:
            raise lost(error) from None


def connect(address: str) -> None:
    """Join a running Ray cluster; BenchmarkError if Ray is not installed or nobody answers."""
    try:
        import ray
    except ImportError:
        hint = "install it: pip install 'fedrepro[ray]'"
        raise BenchmarkError("Ray is not installed", hint=hint) from None
    try:
        if address != "auto":  # Ray itself would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        message = f"no Ray cluster answers at {address} ({str(error).splitlines()[0]})"
        raise BenchmarkError(message, hint="`ray start --head` starts one, `ray status` shows it") from None


def lost(error: Exception) -> BenchmarkError:
    """The error for a job that Ray gave up."""
    reason = str(error).strip().splitlines()[0]
    hint = "`ray status` shows the machines; the same command resumes"
    return BenchmarkError(f"the cluster lost a job {RETRIES + 1} times ({reason})", hint=hint, user=False)

"""Clients of a cohort spread over a Ray cluster; what a lost machine was at is done again on another."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.core.backends.base import Backend, ClientJob, ClientResult, Results, WorkerConfig
from benchmark.core.backends.worker import Worker
from benchmark.core.client import determinism
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import write_atomic

RETRIES = 5  # machines that may be lost under one job

_workers: dict[str, Worker] = {}


def _work(setting: WorkerConfig, name: str, what: str, job: Any, memory: bytes | None) -> tuple[Any, bytes | None]:
    """On some machine of the cluster: the result, and the client's new memory if there is one.

    name: of the cell; a process keeps its worker for further jobs of it
    """
    determinism.fix()
    if name not in _workers:
        _workers.clear()
        _workers[name] = Worker(setting)
    worker = _workers[name]
    if not isinstance(job, ClientJob):
        return getattr(worker, what)(job), None
    with tempfile.TemporaryDirectory() as folder:
        here = replace(job, leave=Path(folder, job.leave.name))
        if job.memory:
            here = replace(here, memory=Path(folder, job.memory.name))
            Path(folder, job.memory.name).write_bytes(memory or b"")
        visited: ClientResult = worker.visit(here)
        return visited, here.leave.read_bytes() if visited.remembers else None


class RayBackend(Backend):
    """address: of the cluster, or "auto"; size: a client's number of samples, to start the longest work first.

    Every machine needs the same installation of fedrepro, and reads the data from its own cache.
    """

    def __init__(self, setting: WorkerConfig, name: str, address: str, size: Callable[[int], int]) -> None:
        connect(address)
        import ray

        self.ray, self.name, self.size = ray, name, size
        self.workers = int(ray.cluster_resources()["CPU"])
        self.setting = ray.put(setting)
        self.work = ray.remote(num_cpus=1, max_retries=RETRIES)(_work)

    @property
    def facts(self) -> dict[str, Any]:
        """That clients were spread over a cluster."""
        return {"engine": "ray"}

    def submit(self, what: str, jobs: Sequence[Any]) -> Results:
        """Hand the jobs to the cluster."""
        order = sorted(range(len(jobs)), key=lambda i: -self._size(jobs[i]))
        sent = {i: self.work.remote(self.setting, self.name, what, jobs[i], _memory(jobs[i])) for i in order}
        return lambda: [self._received(jobs[i], sent[i]) for i in range(len(jobs))]

    def close(self) -> None:
        """Leave the cluster; what still runs there is stopped."""
        self.ray.shutdown()

    def _received(self, job: Any, reference: Any) -> Any:
        try:
            result, memory = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self.ray.exceptions.RayError as error:
            raise lost(error) from None
        if memory is not None:
            write_atomic(job.leave, memory, sync=False)
        return result

    def _size(self, job: Any) -> int:
        return self.size(job.client) if isinstance(job, ClientJob) else 0


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
    """What happened on the cluster, in a sentence."""
    words = str(error).strip().splitlines()[0]
    hint = "`ray status` shows the machines; the same command resumes"
    return BenchmarkError(f"the cluster lost a job {RETRIES + 1} times ({words})", hint=hint, user=False)


def _memory(job: Any) -> bytes | None:
    return job.memory.read_bytes() if isinstance(job, ClientJob) and job.memory else None

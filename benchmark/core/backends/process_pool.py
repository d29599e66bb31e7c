"""Jobs on long-lived worker processes with one thread each."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import resource_tracker
from typing import Any

from benchmark.core.backends.base import Backend, Results
from benchmark.core.backends.jobs import Job
from benchmark.core.backends.shared_memory import SharedBuffer, SharedMemoryTransport, store_reply
from benchmark.core.backends.worker import Worker, WorkerConfig
from benchmark.core.client import determinism
from benchmark.core.errors import BenchmarkError
from benchmark.core.processes import exit_with_parent, huge_pages

_worker: Worker | Exception | None = None  # the exception that kept it from being made


def _start(config: WorkerConfig) -> None:
    global _worker
    determinism.enable()
    exit_with_parent()
    try:
        _worker = Worker(config)
    except Exception as error:  # raised by the first job: from here the pool would only say that it is broken
        _worker = error


def _run(job: Job, reply_path: str | None) -> Any:
    if isinstance(_worker, Exception):
        raise _worker
    assert _worker is not None
    return store_reply(job.run(_worker), reply_path)


def _release(transport: SharedMemoryTransport, reply: SharedBuffer | None, _: Future[Any]) -> None:
    """Free the reply's buffer; as a callback it keeps the transport until the last job ends, even in an aborted run."""
    if reply:
        reply.close()


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Processes that start within never see Ctrl-C, not even while they import: the parent decides what it means."""
    resource_tracker.ensure_running()  # the first process would start it, which unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _dead_worker_explained() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        hint = "the same command resumes; fewer --workers need less memory"
        raise BenchmarkError("a worker process ended unexpectedly", hint=hint, user=False) from None


class ProcessPoolBackend(Backend):
    """workers: number of processes; size: a client's number of samples, to start the longest jobs first."""

    def __init__(self, config: WorkerConfig, workers: int, size: Callable[[int], int]) -> None:
        self.workers, self.size = workers, size
        context = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(config,))

    def submit(self, jobs: Sequence[Job]) -> Results:
        """Queue the jobs for the workers."""
        longest_first = sorted(range(len(jobs)), key=lambda i: -jobs[i].samples(self.size))
        transport = SharedMemoryTransport()
        with _sigint_blocked(), huge_pages(), _dead_worker_explained():
            futures = {i: self._send(transport, jobs[i]) for i in longest_first}
        return partial(_results, [futures[i] for i in range(len(jobs))])

    def close(self) -> None:
        """Terminate the processes."""
        processes = list((self.executor._processes or {}).values())
        self.executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()

    def _send(self, transport: SharedMemoryTransport, job: Job) -> Future[Any]:
        reply = transport.reserve_reply(job)
        future = self.executor.submit(_run, transport.share(job), reply.path if reply else None)
        future.add_done_callback(partial(_release, transport, reply))
        return future


def _results(futures: Sequence[Future[Any]]) -> list[Any]:
    try:
        with _dead_worker_explained():
            return [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        raise

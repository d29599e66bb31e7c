"""Work spread over long-lived processes with one thread each; large jobs first, results in the order of the jobs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import resource_tracker
from typing import Any

from benchmark.core.backends.base import Backend, Results, WorkerConfig
from benchmark.core.backends.huge_pages import huge_pages
from benchmark.core.backends.shared_memory import Block, Mail, answered
from benchmark.core.backends.worker import Worker
from benchmark.core.client import determinism
from benchmark.core.errors import BenchmarkError

_worker: Worker | None = None


def _start(setting: WorkerConfig) -> None:
    global _worker
    determinism.fix()
    threading.Thread(target=follow, daemon=True).start()
    _worker = Worker(setting)


def follow() -> None:
    """End with the parent, even if it was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _shielded() -> Iterator[None]:
    """Processes that start in here never see Ctrl-C, not even while they import: the parent decides what it means."""
    resource_tracker.ensure_running()  # the first process would start it, which unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _unbroken() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise BenchmarkError(
            "a worker process ended unexpectedly",
            hint="the same command resumes; fewer --workers need less memory", user=False,
        ) from None  # fmt: skip


def _work(what: str, job: Any, place: str | None) -> Any:
    return answered(getattr(_worker, what)(job), place)


def _over(mail: Mail, place: Block | None, _: Future[Any]) -> None:
    """Frees the upload's memory; mail that it holds lasts until its last job is over, also when a run is given up."""
    if place:
        place.close()


class ProcessPoolBackend(Backend):
    """workers: number of processes; size: a client's number of samples, to start the longest work first."""

    def __init__(self, setting: WorkerConfig, workers: int, size: Callable[[int], int]) -> None:
        self.workers, self.size = workers, size
        context = multiprocessing.get_context("spawn")
        self.executor = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(setting,))

    def submit(self, what: str, jobs: Sequence[Any]) -> Results:
        """Hand the jobs to the workers, behind those that wait already."""
        large_first = sorted(range(len(jobs)), key=lambda i: -self._size(jobs[i]))
        mail = Mail()
        with _shielded(), huge_pages(), _unbroken():
            futures = {i: self._sent(mail, what, jobs[i]) for i in large_first}
        return lambda: _gathered([futures[i] for i in range(len(jobs))])

    def close(self) -> None:
        """End the processes, now."""
        processes = list((self.executor._processes or {}).values())
        self.executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()

    def _sent(self, mail: Mail, what: str, job: Any) -> Future[Any]:
        place = mail.awaited(job)
        future = self.executor.submit(_work, what, mail.sent(job), place.path if place else None)
        future.add_done_callback(partial(_over, mail, place))
        return future

    def _size(self, job: Any) -> int:
        client = getattr(job, "client", None)
        return 0 if client is None else self.size(client)


def _gathered(futures: Sequence[Future[Any]]) -> list[Any]:
    try:
        with _unbroken():
            return [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        raise


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))

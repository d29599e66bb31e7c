"""Jobs on this machine, on long-lived worker processes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from benchmark.core.errors import explain
from benchmark.core.processes import exit_with_parent, huge_pages
from benchmark.experiments import run as running
from benchmark.experiments.executors import Executor, Message
from benchmark.experiments.tuning import Job, Tuning

log = logging.getLogger(__name__)


class LocalExecutor(Executor):
    """Worker processes of one thread each; one that dies costs the job that it had.

    results: folder of records; width: number of processes
    """

    def __init__(self, results: Path, width: int) -> None:
        self.results, self.width = results, width
        self.busy: dict[Connection, WorkerProcess] = {}
        self.idle: list[WorkerProcess] = []

    def submit(self, job: Job) -> None:
        """Hand the job to an idle worker, or to a new one."""
        worker = self.idle.pop() if self.idle else WorkerProcess(self.results)
        worker.job = job
        worker.pipe.send(job)
        self.busy[worker.pipe] = worker

    def messages(self) -> Iterable[Message]:
        """Wait for workers and read a message of each that has one."""
        for pipe in wait(list(self.busy)):
            worker = self.busy[pipe]  # type: ignore[index]
            job, kind, content = worker.receive()
            if kind != "round":
                del self.busy[worker.pipe]
                if worker.process.is_alive():
                    self.idle.append(worker)
            yield job, kind, content

    def close(self) -> None:
        """End the processes, now: what they had finished is on disk."""
        for worker in [*self.busy.values(), *self.idle]:
            worker.process.terminate()
            worker.process.join()
            worker.pipe.close()


class WorkerProcess:
    """A process and the job that it runs."""

    job: Job

    def __init__(self, results: Path) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"  # inherited: every library in a worker keeps to one thread
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, results), daemon=True)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: the parent alone decides on an interruption
        try:
            with huge_pages():
                self.process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        theirs.close()
        log.info("worker process %d started", self.process.pid)

    def receive(self) -> Message:
        """Read one message."""
        try:
            kind, content = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            self.pipe.close()
            code = self.process.exitcode
            kind, content = "failed", f"its process ended unexpectedly (exit code {code}; out of memory?)"
        return self.job, kind, content


def _serve(pipe: Connection, results: Path) -> None:
    """What a worker process runs: jobs come through the pipe, messages go back; it ends with its parent."""
    exit_with_parent()
    try:
        while True:
            pipe.send(_run(pipe.recv(), results, lambda event: pipe.send(("round", event))))
    except (EOFError, ConnectionError):
        return


def _run(job: Job, results: Path, observer: Any) -> tuple[str, Any]:
    try:
        if isinstance(job, Tuning):
            return "done", job.run(results, observer=observer)
        return "done", running.run(job, results, observer=observer, replace=True)
    except ConnectionError:
        raise
    except Exception as error:
        return "failed", explain(error)[0]

"""Cells on other machines: a Ray cluster, or a SLURM queue through submitit. What comes back equals a local run."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmark.core.backends.ray_backend import RETRIES, connect, lost
from benchmark.core.errors import BenchmarkError, explain
from benchmark.core.storage.atomic_files import write_atomic
from benchmark.experiments import run as run_
from benchmark.experiments import run as running
from benchmark.experiments.cell import Cell
from benchmark.experiments.progress import Lines, Outcome
from benchmark.records import store

POLL = 1.0  # seconds
Files = dict[str, bytes]  # by name, relative to the folder of results


def work(cell: Cell, identity: str) -> Files | str:
    """On some machine: run a cell and return its files, or why there are none.

    identity: of the cell where it was sent from; another one here means another version of fedrepro or of its results
    """
    try:
        if cell.prepare().identity != identity:
            hint = "bring the same checkout to all machines"
            raise BenchmarkError("that machine has another version of the method, the task or the engine", hint=hint)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / running.run(cell, Path(folder)).path
            return {str(file.relative_to(folder)): file.read_bytes() for file in target.parent.glob("*.json")}
    except Exception as error:
        return explain(error)[0]


class Executor(Protocol):
    """Where cells run; `width` is how many at a time."""

    width: int

    def submit(self, cell: Cell, identity: str) -> Any:
        """Begin a cell; returns its handle."""

    def finished(self, handles: Collection[Any]) -> Collection[Any]:
        """Handles that have ended; waits a moment if none has."""

    def result(self, handle: Any) -> Files | str:
        """Files of a cell that has ended, or why there are none."""

    def close(self) -> None:
        """Cancel what still runs."""


def run(jobs: Sequence[Cell], results: Path, view: Lines, executor: Executor) -> list[Outcome]:
    """Run cells elsewhere in this order and write their files here; outcomes in finishing order."""
    waiting, flying, outcomes = deque(jobs), dict[Any, tuple[Cell, float]](), list[Outcome]()
    try:
        while waiting or flying:
            while waiting and len(flying) < executor.width:
                cell = waiting.popleft()
                flying[executor.submit(cell, cell.prepare().identity)] = cell, time.monotonic()
                view.begin(cell)
            for handle in executor.finished(list(flying)):
                cell, started = flying.pop(handle)
                outcomes.append(_received(cell, executor.result(handle), results, time.monotonic() - started))
                view.end(outcomes[-1])
    finally:
        executor.close()
    return outcomes


def _received(cell: Cell, files: Files | str, results: Path, seconds: float) -> Outcome:
    if isinstance(files, str):
        return Outcome(cell, None, seconds, files)
    run_.remove_stale(cell, results)
    for name in sorted(files, key=lambda name: not name.endswith(".run.json")):  # the record appears last
        write_atomic(results / name, files[name])
    target = next(name for name in files if not name.endswith(".run.json"))
    return Outcome(cell, store.read(results / target), seconds)


class Ray:
    """Cells as tasks of a Ray cluster, one core each; those of a lost machine run again on another."""

    def __init__(self, address: str) -> None:
        connect(address)
        import ray

        self.ray, self.work = ray, ray.remote(num_cpus=1, max_retries=RETRIES)(work)
        self.width = int(ray.cluster_resources()["CPU"])

    def submit(self, cell: Cell, identity: str) -> Any:
        """A task of the cluster."""
        return self.work.remote(cell, identity)

    def finished(self, handles: Collection[Any]) -> Collection[Any]:
        """Those that `ray.wait` names."""
        return self.ray.wait(list(handles), timeout=POLL)[0]

    def result(self, handle: Any) -> Files | str:
        """A machine lost too often is a sentence."""
        try:
            return self.ray.get(handle)
        except self.ray.exceptions.RayError as error:
            return str(lost(error))

    def close(self) -> None:
        """Leave the cluster; what still runs there is stopped."""
        self.ray.shutdown()


class Slurm:
    """Cells as jobs of a SLURM queue.

    folder: for submitit's files, on a file system that all machines share
    options: of submitit, such as slurm_partition or timeout_min; cluster: "slurm", or "local" to try without one
    """

    def __init__(self, folder: Path, options: Mapping[str, Any], width: int, cluster: str = "slurm") -> None:
        try:
            import submitit
        except ImportError:
            hint = "install it: pip install 'fedrepro[slurm]'"
            raise BenchmarkError("submitit is not installed", hint=hint) from None
        self.width, self.jobs = width, list[Any]()
        try:
            self.executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
            self.executor.update_parameters(cpus_per_task=1, name="fedrepro", **options)
        except (RuntimeError, NameError, ValueError) as error:
            hint = "see --option, and whether sbatch is at hand"
            raise BenchmarkError(f"submitit refuses: {error}", hint=hint) from None

    def submit(self, cell: Cell, identity: str) -> Any:
        """A job of the queue."""
        self.jobs.append(self.executor.submit(work, cell, identity))
        return self.jobs[-1]

    def finished(self, handles: Collection[Any]) -> Collection[Any]:
        """Those that submitit calls done."""
        if not (ended := [handle for handle in handles if handle.done()]):
            time.sleep(POLL)
        return ended

    def result(self, handle: Any) -> Files | str:
        """A job that the queue ended is a sentence."""
        try:
            return handle.result()
        except Exception as error:  # submitit raises whatever ended the job, from its own kinds to a signal's name
            return f"job {handle.job_id} of the queue ended without a result: {str(error).strip().splitlines()[0]}"

    def close(self) -> None:
        """Cancel what waits or runs."""
        for handle in self.jobs:
            if not handle.done():
                handle.cancel()

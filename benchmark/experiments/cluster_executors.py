"""Cells on other machines: a Ray cluster, or a SLURM queue through submitit. What comes back equals a local run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmark.core.backends.ray_backend import RETRIES, connect, lost
from benchmark.core.errors import BenchmarkError, explain
from benchmark.core.storage.atomic_files import write_atomic
from benchmark.experiments.cell import Cell
from benchmark.experiments.executors import Executor, Message
from benchmark.experiments.run import run
from benchmark.experiments.tuning import Job, Tuning
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
            target = Path(folder) / run(cell, Path(folder)).path
            return {str(file.relative_to(folder)): file.read_bytes() for file in target.parent.glob("*.json")}
    except Exception as error:
        return explain(error)[0]


class _Remote(Executor):
    """Sends cells away and writes the files that come back; results: folder of records."""

    def __init__(self, results: Path) -> None:
        self.results, self.cells = results, dict[Any, Cell]()  # by handle

    def submit(self, job: Job) -> None:
        """Send a cell away."""
        if isinstance(job, Tuning):
            raise BenchmarkError("a tuning runs on this machine", hint="tune first: `fedrepro tune`")
        self.cells[self.send(job, job.prepare().identity)] = job

    def messages(self) -> Iterable[Message]:
        """Cells that have ended."""
        for handle in self.ended():
            cell, files = self.cells.pop(handle), self.files(handle)
            yield (cell, "failed", files) if isinstance(files, str) else (cell, "done", self._written(files))

    def _written(self, files: Files) -> Any:
        for name in sorted(files, key=lambda name: not name.endswith(".run.json")):  # the record last: it says `done`
            write_atomic(self.results / name, files[name])
        return store.read(self.results / next(name for name in files if not name.endswith(".run.json")))

    def send(self, cell: Cell, identity: str) -> Any:
        """Begin `work` elsewhere; returns its handle."""
        raise NotImplementedError

    def ended(self) -> Iterable[Any]:
        """Handles of cells that have ended; waits a moment if there are none."""
        raise NotImplementedError

    def files(self, handle: Any) -> Files | str:
        """What `work` returned, or why it did not return."""
        raise NotImplementedError


class RayExecutor(_Remote):
    """Cells as tasks of a Ray cluster, one core each; those of a lost machine run again on another."""

    def __init__(self, results: Path, address: str) -> None:
        super().__init__(results)
        connect(address)
        import ray

        self.ray, self.work = ray, ray.remote(num_cpus=1, max_retries=RETRIES)(work)
        self.width = int(ray.cluster_resources()["CPU"])

    def send(self, cell: Cell, identity: str) -> Any:
        """A task of the cluster."""
        return self.work.remote(cell, identity)

    def ended(self) -> Iterable[Any]:
        """Those that `ray.wait` names."""
        return self.ray.wait(list(self.cells), timeout=POLL)[0]

    def files(self, handle: Any) -> Files | str:
        """A machine lost too often is a sentence."""
        try:
            return self.ray.get(handle)
        except self.ray.exceptions.RayError as error:
            return str(lost(error))

    def close(self) -> None:
        """Leave the cluster; what still runs there is stopped."""
        self.ray.shutdown()


class SlurmExecutor(_Remote):
    """Cells as jobs of a SLURM queue.

    Args:
        results: Folder of records, on a file system that all machines share; submitit's files are in .slurm in it.
        options: Of submitit, such as slurm_partition or timeout_min.
        width: Jobs at a time.
        cluster: "slurm", or "local" to try without one.
    """

    def __init__(self, results: Path, options: Mapping[str, Any], width: int, cluster: str = "slurm") -> None:
        super().__init__(results)
        try:
            import submitit
        except ImportError:
            hint = "install it: pip install 'fedrepro[slurm]'"
            raise BenchmarkError("submitit is not installed", hint=hint) from None
        self.width = width
        try:
            self.queue = submitit.AutoExecutor(folder=results / ".slurm", cluster=cluster)
            self.queue.update_parameters(cpus_per_task=1, name="fedrepro", **options)
        except (RuntimeError, NameError, ValueError) as error:
            hint = "see --option, and whether sbatch is at hand"
            raise BenchmarkError(f"submitit refuses: {error}", hint=hint) from None

    def send(self, cell: Cell, identity: str) -> Any:
        """A job of the queue."""
        return self.queue.submit(work, cell, identity)

    def ended(self) -> Iterable[Any]:
        """Those that submitit calls done."""
        ended = [handle for handle in self.cells if handle.done()]
        if not ended:
            time.sleep(POLL)
        return ended

    def files(self, handle: Any) -> Files | str:
        """A job that the queue ended is a sentence."""
        try:
            return handle.result()
        except Exception as error:  # submitit raises whatever ended the job, from its own kinds to a signal's name
            return f"job {handle.job_id} of the queue ended without a result: {str(error).strip().splitlines()[0]}"

    def close(self) -> None:
        """Cancel what waits or runs."""
        for handle in self.cells:
            handle.cancel()

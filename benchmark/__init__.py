"""The packages of fedrepro, and its Python interface, which `fedrepro` exports: `run`, `board` and the registry.

Importing this module is fast: torch and pandas are imported when a function needs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.registry import dataset, metric, network, partition

if TYPE_CHECKING:
    from pandas import DataFrame

    from benchmark.records.record import Record
    from benchmark.submission.scenarios import CheckResult

__all__ = ["board", "check", "dataset", "metric", "network", "partition", "run"]


def run(
    method: str, task: str, seed: int = 0, *, out: str | Path | None = None, workers: int = 1,
    rounds: int | None = None, precision: str | None = None, predictions: bool = False, **settings: Any,
) -> Record:  # fmt: skip
    """Run a cell in this process, resume it, or read its record if it is done.

    Args:
        method: Name of a method, or path of a .py file.
        task: Name of a task, or path of a .yaml file.
        seed: The seed.
        out: Folder for the record; required for files and extensions, and if the run differs from its task.
        workers: Number of worker processes.
        rounds: Number of rounds in place of the task's.
        precision: "fp32", "bf16" or "tf32" in place of the task's.
        predictions: Keep what the judged models answer to the test images, for metrics of one's own.
        **settings: Hyper-parameters in place of those of task and method, e.g. beta=0.5.

    Returns:
        The record.

    Raises:
        BenchmarkError: If the cell cannot be run; one sentence says why.
    """
    from benchmark.experiments.cell import Cell, home
    from benchmark.experiments.run import run as run_cell

    cell = Cell(task, method, seed, settings, rounds, precision)
    results = home(cell, Path(out) if out else None, predictions)
    return run_cell(cell, results, workers=workers, replace=out is None, predictions=predictions)


def check(method: str) -> list[CheckResult]:
    """Check a method against the rules of the interface, on random data, in sandboxed processes.

    Args:
        method: Name of a method, or path of a .py file.

    Returns:
        One result per check and track, with `check`, `track`, `status` ("passed", "failed" or "not run"), `note` and
        `faults`, one sentence each.

    Raises:
        BenchmarkError: There is no such method or file.
    """
    from benchmark.submission.check import check as check_method

    return check_method(method)


def board(task: str, results: str | Path | None = None, *, algorithms: Iterable[str | Path] = ()) -> DataFrame:
    """The table of a task, as in `fedrepro board` and results/tables/<task>.csv, best accuracy first.

    Args:
        task: Name of a task, or path of a .yaml file.
        results: Folder of records; None for results/.
        algorithms: Files of methods of one's own, and folders of such files.

    Returns:
        A row for each method with accuracies in %, messages in MB and a column for each registered metric;
        <column>_interval is half the 95 % t interval.

    Raises:
        BenchmarkError: If the task is unknown.
    """
    from benchmark.analysis.tables import table
    from benchmark.core import registry
    from benchmark.core.tasks import task as tasks
    from benchmark.paths import RESULTS
    from benchmark.records.index import load_index

    setting = tasks.load(task)
    own_tasks = [setting] if task != setting.name else []
    index = load_index(Path(results) if results else RESULTS, own_tasks, map(Path, algorithms))
    return table(index, index.tasks[setting.name], registry.registered("metric"))

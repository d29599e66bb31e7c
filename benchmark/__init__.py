"""fedrepro for Python: `import benchmark as fb`, then `fb.run(...)` and `fb.board(...)`.

Parts of one's own are registered by `fb.dataset`, `fb.partition`, `fb.network` and `fb.metric`. What is heavy is
imported when it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.registry import dataset, metric, network, partition

if TYPE_CHECKING:
    from pandas import DataFrame

    from benchmark.records.record import Record

__all__ = ["board", "dataset", "metric", "network", "partition", "run"]


def run(
    method: str, task: str, seed: int = 0, *, out: str | Path | None = None, workers: int = 1,
    rounds: int | None = None, precision: str | None = None, **settings: Any,
) -> Record:  # fmt: skip
    """Run a cell in this process, resume it, or read its record if it is done, and return the record.

    method, task: names, or paths of a .py and a .yaml file
    out: folder of records; needed for files and parts of one's own and wherever a run departs from its task
    settings: hyper-parameters that replace the task's and the method's own, e.g. beta=0.5
    Raises BenchmarkError with one sentence for whatever cannot be run.
    """
    from benchmark.experiments.cell import Cell, home
    from benchmark.experiments.run import run as run_cell

    cell = Cell(task, method, seed, settings, rounds, precision)
    results = home(cell, Path(out) if out else None)
    return run_cell(cell, results, workers=workers, replace=out is None)


def board(task: str, results: str | Path | None = None) -> DataFrame:
    """The table of a task, as `fedrepro board` and results/tables/<task>.csv have it, best accuracy on top.

    results: folder of records, default results/
    Columns: method, comparable, seeds, accuracy and others in %, MB; <column>_interval is half the 95 % t interval; one
    column more per registered metric. Raises BenchmarkError for an unknown task.
    """
    from benchmark.analysis.tables import table
    from benchmark.core import registry
    from benchmark.core.tasks import task as tasks
    from benchmark.paths import RESULTS
    from benchmark.records.index import load_index

    setting = tasks.load(task)
    index = load_index(Path(results) if results else RESULTS)
    index.tasks.setdefault(setting.name, setting)
    return table(index, index.tasks[setting.name], registry.registered("metric"))

"""Trains one small cell of every method and compares: with its record, or with what another revision makes of it.

Compared with a record, bytes must be equal, and on the kind of machine that the record comes from every bit. Elsewhere
accuracy and forgetting must be within a band around the record: three standard deviations of the difference of two
seeds, pooled over all methods of the task or of the method itself, whichever is wider. Compared with another revision,
on this machine, every bit must be equal.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.task import TRACKS
from benchmark.experiments import revision
from benchmark.experiments.cell import Cell
from benchmark.experiments.executors import run as run_jobs
from benchmark.experiments.local_executor import LocalExecutor
from benchmark.experiments.progress import Lines, label
from benchmark.paths import ROOT
from benchmark.records import store, tolerance
from benchmark.records.compare import MEASURES, Content, compare, content
from benchmark.records.environment import machine_kind
from benchmark.records.index import ResultsIndex

SHOWN = ("accuracy", "mean_accuracy", "forgetting")  # the mean is steadier than the last round
Verdict = Literal["equal", "within band", "changed", "new"]


@dataclass(frozen=True)
class Comparison:
    """A cell's record before and after.

    verdict: "new" if there is nothing to compare with
    why: what speaks against it, in words
    """

    cell: Cell
    before: Content | None
    after: Content | None
    verdict: Verdict
    tolerance: dict[str, float] | None = None
    why: str = ""

    def row(self) -> dict[str, Any]:
        """Plain data: before and after of every measure, in [0, 1], and payload bytes."""
        pair = [record["result"] if record else None for record in (self.before, self.after)]
        bands = self.tolerance or {}
        row: dict[str, Any] = {
            "method": Path(self.cell.algorithm).stem,
            "task": Path(self.cell.task).stem,
            "seed": self.cell.seed,
        }
        for name in SHOWN:
            row[name] = [MEASURES[name](result) if result else None for result in pair] + [bands.get(name)]
        for way in ("up", "down"):
            row[f"bytes_{way}"] = [result["bytes"][way] if result else None for result in pair]
        return {**row, "verdict": self.verdict, "why": self.why}


def recorded_cells(index: ResultsIndex) -> list[Cell]:
    """Of every method the first seed that has a record on the first quick task that has one."""
    cells = []
    for method in sorted(index.methods):
        known = ((task, tolerance.baseline(index, task, method)) for task in _quick_tasks(index))
        task, records = next(((task, records) for task, records in known if records), ("", {}))
        if records:
            cells.append(Cell(task, method, min(records)))
    return cells


def applicable_cells(index: ResultsIndex) -> list[Cell]:
    """Of every method the first seed of the first quick task that it can run."""
    pairs = [
        (next((task for task in _quick_tasks(index) if index.why_not_applicable(task, method) is None), None), method)
        for method in sorted(index.methods)
    ]
    return [Cell(task, method, index.tasks[task].seeds[0]) for task, method in pairs if task]


def _quick_tasks(index: ResultsIndex) -> list[str]:
    quick = [task for task in index.tasks.values() if task.tier == "quick"]
    return [task.name for task in sorted(quick, key=lambda task: (TRACKS.index(task.track), task.name))]


def bands(index: ResultsIndex, task: str, method: str) -> dict[str, float]:
    """The largest allowed distance of each measure from a record of another kind of machine."""
    known = {name: tolerance.seed_difference(index, task, name, method) for name in SHOWN}
    if None in known.values():
        hint = "run at least two seeds of a method"
        raise BenchmarkError(f"{task} has no method with two records: nothing says how much seeds differ", hint=hint)
    return {name: half for name, half in known.items() if half is not None}


def against_records(
    index: ResultsIndex, cells: Sequence[Cell], folder: Path, workers: int, view: Lines
) -> list[Comparison]:
    """Train cells into a folder and compare each with its record, in the given order."""
    outcomes = run_jobs(cells, LocalExecutor(folder, workers), view)
    errors = {label(outcome.cell): outcome.error for outcome in outcomes}
    return [against_record(index, cell, folder, errors[label(cell)]) for cell in cells]


def against_record(index: ResultsIndex, cell: Cell, folder: Path, error: str = "") -> Comparison:
    """A cell's record in the index and the one in a folder; error: why there is none."""
    task = Path(cell.task).stem
    method = Path(cell.algorithm).stem
    before = index.records[task, method][cell.seed]
    after = None if error else content(store.read(folder / before.path))
    same_kind = machine_kind(index.results / before.path) == machine_kind(folder / before.path)
    return judge(cell, content(before), after, bands(index, task, method), same_kind, error)


def against_revision(
    base: str, cells: Sequence[Cell], workers: int, report: Callable[[str], None], root: Path = ROOT
) -> list[Comparison]:
    """Train cells with the code of a revision and with the tree as it is, on this machine, and compare each pair.

    Args:
        base: A revision of git.
        cells: What to train, by names of tasks and methods.
        workers: Cells at a time.
        report: Told of every cell that is trained.
        root: The checkout.
    """
    with tempfile.TemporaryDirectory(prefix="fedrepro-") as folder:
        tree, old, new = (Path(folder, name) for name in ("tree", "old", "new"))
        revision.export(root, base, tree)
        cells = [_with_unequal_clients(cell, Path(folder)) for cell in cells]
        missing = revision.train(tree, cells, old, workers, lambda text: report(f"{base}: {text}"))
        errors = revision.train(root, cells, new, workers, lambda text: report(f"as it is: {text}"))
        return [
            judge(cell, _read(old, cell), _read(new, cell), None, True, errors.get(label(cell), ""))
            if label(cell) not in missing
            else Comparison(cell, None, _read(new, cell), "new", why=missing[label(cell)])
            for cell in cells
        ]


def _with_unequal_clients(cell: Cell, folder: Path) -> Cell:
    """The cell on Dirichlet shares where the task has shards: these are equally large, which hides lost weights."""
    task = tasks.load(cell.task)
    if task.split.kind != "shards":
        return cell
    content = task.model_dump(mode="json", exclude={"name", "split"}, exclude_defaults=True)
    path = folder / f"{task.name}-unequal.yaml"
    path.write_text(yaml.safe_dump(content | {"split": {"kind": "dirichlet", "alpha": 0.3}}), encoding="utf-8")
    return replace(cell, task=str(path))


def _read(folder: Path, cell: Cell) -> Content | None:
    """The JSON of a record, which may be of another version of the schema."""
    path = folder / Path(cell.task).stem / cell.algorithm / f"{cell.seed}.json"
    return json.loads(path.read_bytes()) if path.exists() else None


def judge(
    cell: Cell,
    before: Content | None,
    after: Content | None,
    tolerance: dict[str, float] | None,
    same_kind: bool,
    error: str = "",
) -> Comparison:
    """The verdict on a cell; same_kind: both come from one kind of machine, so that every bit must be equal."""
    if before is None or after is None:
        return Comparison(cell, before, after, "changed", tolerance, error or "has no record")
    banded = compare(before, after, tolerance)
    exact = compare(before, after)
    changes = banded.changes or (exact.changes if same_kind else [])
    verdict: Verdict = "changed" if changes else "within band" if exact.difference else "equal"
    return Comparison(cell, before, after, verdict, tolerance, "; ".join(changes))

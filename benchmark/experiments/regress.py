"""One small cell of every method, trained anew and set beside its record: what a change has done to the numbers.

Bytes must be equal. On the kind of machine that the record comes from the whole result must be, bit for bit. Elsewhere,
since processors round differently and training magnifies it, accuracy and forgetting must lie within a band around the
record of the same seed: three standard deviations of the difference of two seeds, pooled over all methods of the task.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks.task import TRACKS
from benchmark.experiments import local_executor
from benchmark.experiments.cell import Cell
from benchmark.experiments.progress import Lines, label
from benchmark.experiments.rerun import KIND
from benchmark.records import store, tolerance
from benchmark.records.index import ResultsIndex
from benchmark.records.record import Record, Result

MEASURES: dict[str, Callable[[Result], float]] = {
    "accuracy": lambda result: result.accuracy,
    "course": lambda result: fmean(entry.accuracy for entry in result.evaluations),  # steadier than the last round
    "forgetting": lambda result: result.forgetting,
}
Verdict = Literal["equal", "within band", "changed"]


@dataclass(frozen=True)
class Comparison:
    """A method's cell before and after; why: what speaks against it, in words."""

    cell: Cell
    before: Record
    after: Record | None
    tolerance: dict[str, float]
    verdict: Verdict
    why: str = ""

    def row(self) -> dict[str, Any]:
        """Plain data: before and after of every measure, in [0, 1], and payload bytes."""
        pair = [made.result if made else None for made in (self.before, self.after)]
        numbers: dict[str, Any] = {
            name: [pick(result) if result else None for result in pair] + [self.tolerance[name]]
            for name, pick in MEASURES.items()
        }
        sizes = {f"bytes_{way}": [getattr(result.bytes, way) if result else None for result in pair]
                 for way in ("up", "down")}  # fmt: skip
        names = {"method": self.before.algorithm, "task": self.before.task, "seed": self.before.seed}
        return {**names, **numbers, **sizes, "verdict": self.verdict, "why": self.why}


def cells(suite: ResultsIndex) -> list[Cell]:
    """Of every method the first seed that has a record on the first quick task of the board that has one."""
    order = sorted(
        (task for task in suite.tasks.values() if task.tier == "quick"),
        key=lambda task: (TRACKS.index(task.track), task.name),
    )
    found = []
    for method in sorted(suite.methods):
        known = ((task.name, tolerance.baseline(suite, task.name, method)) for task in order)
        name, made = next(((name, made) for name, made in known if made), ("", {}))
        if made:
            found.append(Cell(name, method, min(made)))
    return found


def widths(suite: ResultsIndex, task: str) -> dict[str, float]:
    """Half the width of each measure's band on a task."""
    found = {name: half for name, pick in MEASURES.items() if (half := tolerance.half(suite, task, pick)) is not None}
    if len(found) < len(MEASURES):
        hint = "run at least two seeds of a method"
        raise BenchmarkError(f"{task} has no method with two records: nothing says how far seeds lie apart", hint=hint)
    return found


def run(suite: ResultsIndex, chosen: Sequence[Cell], folder: Path, workers: int, view: Lines) -> list[Comparison]:
    """Train these cells into a folder and compare each with its record, in the given order."""
    outcomes = {label(outcome.cell): outcome for outcome in local_executor.run(chosen, folder, workers, view)}
    return [beside(suite, cell, folder, outcomes[label(cell)].error) for cell in chosen]


def beside(suite: ResultsIndex, cell: Cell, folder: Path, error: str = "") -> Comparison:
    """A cell's record in the suite and the one in a folder; error: why there is none."""
    task = Path(cell.task).stem
    before = suite.records[task, Path(cell.algorithm).stem][cell.seed]
    after = None if error else store.read(folder / before.path)
    same_kind = _kind(suite.results / before.path) == _kind(folder / before.path)
    return compare(cell, before, after, widths(suite, task), same_kind, error)


def compare(
    cell: Cell, before: Record, after: Record | None, widths: dict[str, float], same_kind: bool, error: str = ""
) -> Comparison:  # fmt: skip
    """same_kind: both come from one kind of machine, so that their bits must be equal."""
    why = _changes(before, after, widths, same_kind) if after else [error]
    equal = after is not None and after.result_sha256 == before.result_sha256
    verdict: Verdict = "changed" if why else "equal" if equal else "within band"
    return Comparison(cell, before, after, widths, verdict, "; ".join(why))


def _changes(before: Record, after: Record, widths: dict[str, float], same_kind: bool) -> list[str]:
    old, new = before.result, after.result
    if old is None or new is None:
        return [after.reason or "has no result"]
    words = ["other bytes"] if old.bytes != new.bytes else []
    for name, pick in MEASURES.items():
        gap = pick(new) - pick(old)
        if abs(gap) > widths[name]:
            words.append(f"{name} {gap * 100:+.1f} points, band ±{widths[name] * 100:.1f}")
    if same_kind and not words and before.result_sha256 != after.result_sha256:
        words.append("other bits on the same kind of machine")
    return words


def _kind(path: Path) -> dict[str, Any] | None:
    """Of what kind the machine of a record is; None if the note beside it does not say."""
    try:
        environment = json.loads(path.with_suffix(".run.json").read_bytes())["environment"]
        return {name: environment[name] for name in KIND}
    except (OSError, ValueError, KeyError, TypeError):
        return None

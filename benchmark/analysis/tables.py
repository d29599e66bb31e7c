"""Records of a task become its table, results/tables/<task>.csv."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmark.analysis.stats import Estimate, estimate, paired
from benchmark.core.tasks.task import TIERS, TRACKS, Task
from benchmark.records.audit_mark import audited
from benchmark.records.index import SEEDS, ResultsIndex
from benchmark.records.record import Record, Result

if TYPE_CHECKING:
    from pandas import DataFrame

REFERENCE = "fedavg"
Metric = Callable[[Result], float | None]
SPREADS: dict[str, Metric] = {
    "accuracy": lambda result: result.accuracy * 100,
    "last5": lambda result: result.accuracy_last5 * 100,
    "forgetting": lambda result: result.forgetting * 100,
    "in_local": lambda result: None if result.in_local is None else result.in_local * 100,
    "out_local": lambda result: None if result.out_local is None else result.out_local * 100,
    "mb_up": lambda result: result.bytes.up / 1e6,
    "mb_down": lambda result: result.bytes.down / 1e6,
}
Row = dict[str, Any]


def table(suite: ResultsIndex, task: Task, metrics: Mapping[str, Metric] | None = None) -> DataFrame:
    """One row per method and state of its records: comparable rows first, best accuracy on top.

    Accuracies, forgetting and differences in %, points; MB = 1e6 bytes of payload over the whole run, all clients;
    <column>_interval is half the 95 % t interval over seeds.
    metrics: further columns, by name
    The column `audited`, how many of the seeds an audit came to as well, is there where any is.
    """
    from pandas import DataFrame

    rows = [
        _row(suite, task, list(marks), group) | _columns(metrics or {}, group) | _audits(suite, group)
        for (name, _), made in sorted(suite.records.items()) if name == task.name
        for (_, marks), group in _states(suite, made).items()
    ]  # fmt: skip
    rows.sort(key=lambda row: (not row["comparable"], -(row["accuracy"] or 0), row["method"], row["marks"]))
    frame = DataFrame(rows)
    return frame if frame["audited"].any() else frame.drop(columns="audited")


def _audits(suite: ResultsIndex, group: Sequence[Record]) -> Row:
    return {"audited": sum(audited(suite.results / record.path, record) for record in group if record.result)}


def _states(suite: ResultsIndex, made: dict[int, Record]) -> dict[tuple[str, tuple[str, ...]], list[Record]]:
    """Records of one method by backend and by what speaks against them, which is () where nothing does."""
    groups: dict[tuple[str, tuple[str, ...]], list[Record]] = {}
    for record in made.values():
        groups.setdefault((record.backend, tuple(suite.stale_reasons(record))), []).append(record)
    return groups


def _row(suite: ResultsIndex, task: Task, marks: list[str], group: list[Record]) -> Row:
    method, backend = group[0].algorithm, group[0].backend
    done, stale = [record for record in group if record.result], bool(marks)
    reference = list(suite.valid_records(task.name, REFERENCE, backend).values())
    if not stale and backend != (other := suite.backend(task.name, method)):
        marks = [f"the seeds of the {other} backend count"]
    marks = marks + _shortfall(group, len(done))
    row: Row = {"method": method, "comparable": not marks, "seeds": len(done), "marks": "; ".join(marks)}
    row |= _columns(SPREADS, group)
    row |= _difference(method, done, [] if stale else reference)
    for target in task.targets:
        row |= _effort(target, done)
    row |= {name: getattr(group[0], name) for name in ("judged", "precision", "backend")}
    return row | {"settings": _settings(task, method)}


def _columns(metrics: Mapping[str, Metric], group: list[Record]) -> Row:
    """Every metric's mean over the finished records, and its interval."""
    results = [record.result for record in group if record.result]
    row: Row = {}
    for name, pick in metrics.items():
        row |= _spread(name, _estimate([pick(result) for result in results]))
    return row


def _settings(task: Task, method: str) -> str:
    """Where a method's values on a task come from."""
    return "tuned" if method in task.tuned else "set by the task" if method in task.methods else "defaults"


def _shortfall(group: Sequence[Record], done: int) -> list[str]:
    """What keeps a row apart even if its records are up to date."""
    broken = [f"seed {record.seed} {record.status}: {record.reason}" for record in group if record.status != "ok"]
    return broken + ([f"{done} of {SEEDS} seeds"] if done < SEEDS else [])


def _estimate(values: Sequence[float | None]) -> Estimate | None:
    known = [value for value in values if value is not None]
    return estimate(known) if known and len(known) == len(values) else None


def _spread(name: str, found: Estimate | None) -> Row:
    mean, half = (found.mean, found.half) if found else (None, None)
    return {name: _round(mean), f"{name}_interval": _round(half)}


def _difference(method: str, done: Sequence[Record], reference: Sequence[Record]) -> Row:
    """Points above the reference over common seeds; only models that are judged alike are compared."""
    judged = {record.judged for record in done}
    mine, theirs = _accuracies(done), _accuracies([record for record in reference if {record.judged} == judged])
    found = paired(mine, theirs) if method != REFERENCE else None
    return _spread("difference", found.difference if found else None) | {"p": _round(found.p if found else None, 6)}


def _accuracies(records: Sequence[Record]) -> dict[int, float]:
    return {record.seed: record.result.accuracy * 100 for record in records if record.result}


def _effort(target: float, done: Sequence[Record]) -> Row:
    """Mean rounds and MB until an accuracy was exceeded if all seeds got there, and how many did."""
    entries = [t for record in done if record.result for t in record.result.targets if t.accuracy == target]
    rounds = [entry.round for entry in entries if entry.round is not None]
    sizes = [entry.bytes / 1e6 for entry in entries if entry.bytes is not None]
    everyone = bool(rounds) and len(rounds) == len(done)
    name = f"{target * 100:g}"
    return {
        f"rounds_to_{name}": _round(fmean(rounds)) if everyone else None,
        f"mb_to_{name}": _round(fmean(sizes)) if everyone else None, f"reached_{name}": len(rounds),
    }  # fmt: skip


def _round(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits) + 0.0  # + 0.0 turns -0.0 into 0.0


def csv(frame: DataFrame) -> str:
    """The file of a table."""
    return frame.to_csv(index=False, lineterminator="\n")


def tables(suite: ResultsIndex) -> dict[str, DataFrame]:
    """Table of every task that has records, in the order of the board."""
    found = {name for name, _ in suite.records}
    return {task.name: table(suite, task) for task in in_order(suite) if task.name in found}


def in_order(suite: ResultsIndex) -> list[Task]:
    """All tasks in the order of the board: by track, tier and name."""
    return sorted(suite.tasks.values(), key=lambda t: (TRACKS.index(t.track), TIERS.index(t.tier), t.name))

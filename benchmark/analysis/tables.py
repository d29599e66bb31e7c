"""The table of a task: a row per method, computed from records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmark.analysis.budgets import beyond_budget
from benchmark.analysis.comparisons import Comparison, Values, compare
from benchmark.analysis.controls import CONTROLS
from benchmark.analysis.metrics import METRICS
from benchmark.analysis.stats import Estimate, estimate
from benchmark.analysis.time_to_accuracy import minutes_to
from benchmark.core.tasks.task import TIERS, TRACKS, Task
from benchmark.records.audit_mark import audited
from benchmark.records.confirmation import confirmed
from benchmark.records.index import SEEDS, ResultsIndex
from benchmark.records.predictions import read as read_predictions
from benchmark.records.record import Record, Result

if TYPE_CHECKING:
    from pandas import DataFrame

REFERENCE = "fedavg"
Measure = Callable[[Result], float | None]
Metric = Callable[..., float | None]  # of one's own: of a result, or of a result and predictions
SPREADS: dict[str, Measure] = {
    "accuracy": lambda result: result.accuracy * 100,
    "last5": lambda result: result.accuracy_last5 * 100,
    "forgetting": lambda result: result.forgetting * 100,
    "in_local": lambda result: None if result.in_local is None else result.in_local * 100,
    "out_local": lambda result: None if result.out_local is None else result.out_local * 100,
    "mb_up": lambda result: result.bytes.up / 1e6,
    "mb_down": lambda result: result.bytes.down / 1e6,
    **{metric.name: metric.of for metric in METRICS},
}
Row = dict[str, Any]
NOT_COMPARED: Row = {"difference": None, "difference_interval": None, "p": None, "group": "", "best": False}


def table(index: ResultsIndex, task: Task, metrics: Mapping[str, Metric] | None = None) -> DataFrame:
    """One row per method and state of its records: comparable rows first, best accuracy on top.

    Args:
        index: The records.
        task: The task.
        metrics: Further columns by name, each computed from a record's result, or from that and its predictions.

    Returns:
        Accuracies and forgetting in %, differences in points; MB = 1e6 bytes of payload over the whole run, all
        clients. <column>_interval is half the 95 % t interval over seeds. `difference` to FedAvg, its interval and
        `p`, and `group` are those of `comparisons.compare`: `p` corrected over all comparisons with FedAvg; two rows
        with a common letter in `group` are not told apart, nor are rows that are `best` from the best one, corrected
        over all comparisons with that. The columns `audited`, how many of the seeds an audit repeated, and `confirmed`,
        how many a signed confirmation is of, are there only where they are not 0 everywhere.
    """
    from pandas import DataFrame

    groups = [
        (
            _row(index, task, list(reasons), group)
            | _own_columns(index, metrics or {}, group)
            | _audits(index, group),
            group,
        )
        for (name, _), records in sorted(index.records.items()) if name == task.name
        for (_, reasons), group in _groups(index, records).items()
    ]  # fmt: skip
    compared = _compared([(row, group) for row, group in groups if row["comparable"]])
    rows = [row | compared.get(row["method"] if row["comparable"] else "", NOT_COMPARED) for row, _ in groups]
    rows.sort(key=lambda row: (not row["comparable"], -(row["accuracy"] or 0), row["method"], row["remarks"]))
    frame = DataFrame(rows)
    return frame.drop(columns=[name for name in ("audited", "confirmed") if not frame[name].any()])


def tables(index: ResultsIndex) -> dict[str, DataFrame]:
    """Table of every task that has records, in the order of the board."""
    with_records = {name for name, _ in index.records}
    return {task.name: table(index, task) for task in in_order(index) if task.name in with_records}


def in_order(index: ResultsIndex) -> list[Task]:
    """All tasks by track, tier and name: the order of every page."""
    return sorted(index.tasks.values(), key=lambda t: (TRACKS.index(t.track), TIERS.index(t.tier), t.name))


def _audits(index: ResultsIndex, group: Sequence[Record]) -> Row:
    done = [record for record in group if record.result]
    audits = sum(audited(index.results / record.path, record) for record in done)
    return {"audited": audits, "confirmed": confirmed(index.results, done)}


def _groups(index: ResultsIndex, records: dict[int, Record]) -> dict[tuple[str, tuple[str, ...]], list[Record]]:
    """Records of one method by backend and by the reasons why they are stale, () where there is none."""
    groups: dict[tuple[str, tuple[str, ...]], list[Record]] = {}
    for record in records.values():
        groups.setdefault((record.backend, tuple(index.stale_reasons(record))), []).append(record)
    return groups


def _row(index: ResultsIndex, task: Task, reasons: list[str], group: list[Record]) -> Row:
    method, backend = group[0].algorithm, group[0].backend
    done = [record for record in group if record.result]
    if not reasons and backend != (other := index.backend(task.name, method)):
        reasons = [f"the seeds of the {other} backend count"]
    reasons = reasons + _shortfall(group, len(done))
    reasons += [r.result.networks.apart for r in done[:1] if r.result and r.result.networks and r.result.networks.apart]
    reference = [] if reasons or method in CONTROLS else index.valid_records(task.name, REFERENCE, backend).values()
    reasons += beyond_budget(task, done, list(reference))
    row: Row = {"method": method, "comparable": not reasons, "seeds": len(done), "remarks": "; ".join(reasons)}
    row |= _columns(SPREADS, group)
    row |= {"diverged": _round(100 * sum(record.status == "diverged" for record in group) / len(group), 1)}
    for target in task.targets:
        row |= _effort(target, done)
    row |= minutes_to(index, task, done)
    row |= {name: getattr(group[0], name) for name in ("judged", "precision", "backend")}
    return row | {"settings": _settings(task, method)}


def _columns(metrics: Mapping[str, Measure], group: list[Record]) -> Row:
    """Mean and interval of every metric over the finished records."""
    results = [record.result for record in group if record.result]
    row: Row = {}
    for name, metric in metrics.items():
        row |= _spread(name, _estimate([metric(result) for result in results]))
    return row


def _own_columns(index: ResultsIndex, metrics: Mapping[str, Metric], group: list[Record]) -> Row:
    """Mean and interval of metrics of one's own; those of predictions are empty if a record has none."""
    row: Row = {}
    for name, metric in metrics.items():
        values = [_own_value(index, metric, record) for record in group if record.result]
        row |= _spread(name, _estimate(values))
    return row


def _own_value(index: ResultsIndex, metric: Metric, record: Record) -> float | None:
    if len(signature(metric).parameters) == 1:
        return metric(record.result)
    predictions = read_predictions(index.results / record.path)
    return metric(record.result, predictions) if predictions else None


def _settings(task: Task, method: str) -> str:
    """Where a method's hyper-parameters on a task come from."""
    return "tuned" if method in task.tuned else "set by the task" if method in task.methods else "defaults"


def _shortfall(group: Sequence[Record], done: int) -> list[str]:
    """Why up-to-date records are not comparable: seeds that failed, or too few seeds."""
    broken = [f"seed {record.seed} {record.status}: {record.reason}" for record in group if record.status != "ok"]
    return broken + ([f"{done} of {SEEDS} seeds"] if done < SEEDS else [])


def _estimate(values: Sequence[float | None]) -> Estimate | None:
    known = [value for value in values if value is not None]
    return estimate(known) if known and len(known) == len(values) else None


def _spread(name: str, estimated: Estimate | None) -> Row:
    mean, half = (estimated.mean, estimated.half) if estimated else (None, None)
    return {name: _round(mean), f"{name}_interval": _round(half)}


def _compared(rows: Sequence[tuple[Row, Sequence[Record]]]) -> dict[str, Row]:
    """Differences to the reference and groups of methods, among rows that are judged alike on one backend.

    Controls are bounds and no competitors: they are not compared. Letters and a best row are given where most rows are.
    """
    alike: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for row, group in rows:
        if row["method"] not in CONTROLS:
            alike.setdefault((row["judged"], row["backend"]), {})[row["method"]] = _accuracies(group)
    main = max(alike.values(), key=len, default={})
    found: dict[str, Row] = {}
    for values in alike.values():
        found |= _comparison_columns(values, main=values is main)
    return found


def _comparison_columns(values: Values, main: bool) -> dict[str, Row]:
    comparisons = compare(values)
    letters = comparisons.letters if main else {}
    against = comparisons.against(REFERENCE)
    leader = max(values, key=lambda name: fmean(values[name].values()))
    behind = {name for name, pair in comparisons.against(leader).items() if pair.apart}
    return {
        name: _difference(against.get(name)) | {"group": letters.get(name, ""), "best": main and name not in behind}
        for name in values
    }


def _difference(comparison: Comparison | None) -> Row:
    if comparison is None:
        return {"difference": None, "difference_interval": None, "p": None}
    return {
        "difference": _round(comparison.difference),
        "difference_interval": _round(comparison.half),
        "p": _round(comparison.corrected, 6),
    }


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

"""The ranking of a track: every method over the track's lite tasks, with the controls apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmark.analysis import ranking
from benchmark.analysis.controls import CONTROLS
from benchmark.analysis.tables import in_order
from benchmark.core.tasks.task import TRACKS, Task
from benchmark.records.index import SEEDS, ResultsIndex
from benchmark.reports.columns import Column, Row, table_rows, track

if TYPE_CHECKING:
    from pandas import DataFrame

JUDGED = {
    "global": "one common model is judged on the whole test set",
    "heterogeneous": "clients own different architectures; the clients' models are judged",
    "personal": "each client's model is judged on the client's own distribution of labels",
    "unsupervised": "representations are judged by a linear probe",
}


@dataclass(frozen=True)
class Ranking:
    """A track's table.

    Attributes:
        track: Its name.
        columns: The columns.
        rows: Methods from best to worst by score, or by mean rank where the track has no scores; then those without
            either, then controls.
        best: By task, the methods that are not told apart from the one with the highest mean, which is among them.
        tasks: Names of the tasks that are ranked over.
        others: Names of the track's other tasks with records.
        scored: Names of the tasks that the score is over, [] without scores.
    """

    track: str
    columns: list[Column]
    rows: Sequence[Row]
    best: dict[str, set[str]]
    tasks: list[str]
    others: list[str]
    scored: list[str]


def rankings(index: ResultsIndex, tables: Mapping[str, DataFrame], scores: Sequence[ranking.Ranking]) -> list[Ranking]:
    """A ranking per track that has records.

    Args:
        index: The records.
        tables: The tables of all tasks with records.
        scores: The tracks' scores.
    """
    by_track = {one.track: one for one in scores if one.rows}
    return [found for name in TRACKS if (found := _ranking(index, tables, name, by_track.get(name)))]


def _ranking(
    index: ResultsIndex, tables: Mapping[str, DataFrame], name: str, scores: ranking.Ranking | None
) -> Ranking | None:
    tasks = [task for task in in_order(index) if task.track == name and task.name in tables]
    if not tasks:
        return None
    ranked = [task for task in tasks if task.tier == "lite"] or [task for task in tasks if task.tier == "quick"]
    comparable = {task.name: _comparable(tables[task.name]) for task in ranked}
    methods = sorted({method for task in ranked for method in tables[task.name]["method"]})
    ranks = mean_ranks(_accuracies(index, comparable, [method for method in methods if method not in CONTROLS]))
    known = {row["method"]: row for row in scores.rows} if scores else {}
    rows = [_row(index, ranked, tables, method) | _estimates(known.get(method), ranks.get(method))
            for method in methods]  # fmt: skip
    estimate = "score" if scores else "rank"
    rows.sort(key=lambda row: _order(row, estimate))
    places = iter(range(1, len(rows) + 1))
    for row in rows:
        row["place"] = "control" if row["method"] in CONTROLS else "" if row[estimate] is None else next(places)
    return Ranking(
        track=name,
        columns=track([task.name for task in ranked], scored=scores is not None),
        rows=rows,
        best={name: {method for method, row in table.items() if row["best"]} for name, table in comparable.items()},
        tasks=[task.name for task in ranked],
        others=[task.name for task in tasks if task not in ranked],
        scored=scores.tasks if scores else [],
    )


def _estimates(score: Row | None, rank: float | None) -> dict[str, float | None]:
    names = ("score", "score_low", "score_high")
    return {name: score[name] if score else None for name in names} | {"rank": rank}


def mean_ranks(accuracies: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Mean rank of each method that has a value on every task; 1 is best, equal values share the mean of their ranks.

    Args:
        accuracies: By task, then by method.
    """
    common = sorted(set.intersection(*(set(values) for values in accuracies.values()))) if accuracies else []
    return {
        method: fmean(
            _rank(values[method], [values[other] for other in common]) for values in accuracies.values()
        )
        for method in common
    }  # fmt: skip


def _rank(value: float, values: Sequence[float]) -> float:
    better, equal = sum(other > value for other in values), sum(other == value for other in values)
    return 1 + better + (equal - 1) / 2


def _comparable(table: DataFrame) -> dict[str, Row]:
    return {row["method"]: row for row in table_rows(table) if row["comparable"]}


def _accuracies(
    index: ResultsIndex, comparable: Mapping[str, Mapping[str, Row]], methods: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Means by task and method; a method that diverges is behind all others."""
    accuracies: dict[str, dict[str, float]] = {}
    for task, rows in comparable.items():
        accuracies[task] = {name: rows[name]["accuracy"] for name in methods if name in rows}
        accuracies[task] |= {name: -inf for name in methods if name not in rows and _diverged(index, task, name)}
    return accuracies


def _row(index: ResultsIndex, tasks: Sequence[Task], tables: Mapping[str, DataFrame], method: str) -> dict[str, Any]:
    row: dict[str, Any] = {"method": method, "judged": ""}
    sizes, seeds = [], []
    for task in tasks:
        frame = tables[task.name]
        found = frame[frame["method"] == method].to_dict(orient="records")
        known = found[0] if found and found[0]["comparable"] else {}
        row[task.name], row[f"{task.name}_interval"] = known.get("accuracy"), known.get("accuracy_interval")
        row[f"{task.name}_status"] = "" if known else _status(index, task, method)
        row["judged"] = found[0]["judged"] if found else row["judged"]
        sizes += [(one["mb_up"] + one["mb_down"]) / task.clients for one in found[:1] if one["seeds"]]
        seeds += [known["seeds"]] if known else []
    return row | {"mb": fmean(sizes) if sizes else None, "seeds": min(seeds, default=0)}


def _status(index: ResultsIndex, task: Task, method: str) -> str:
    """Why a method has no comparable row on a task."""
    if method in index.methods and index.why_not_applicable(task.name, method):
        return "not applicable"
    if broken := _diverged(index, task.name, method):
        return f"diverged ({broken} of {len(task.seeds)} seeds)"
    return f"open ({len(index.valid_records(task.name, method))} of {SEEDS} seeds)"


def _diverged(index: ResultsIndex, task: str, method: str) -> int:
    """Seeds that ended without a result where no seed is open, otherwise 0."""
    if index.missing(task, [method]):
        return 0
    records = index.records.get((task, method), {}).values()
    return sum(record.status != "ok" and not index.stale_reasons(record) for record in records)


def _order(row: Row, estimate: str) -> tuple[bool, bool, float, float, str]:
    """By the estimate; methods without one and then controls follow, by their mean accuracy."""
    means = [value for name, value in row.items() if f"{name}_status" in row and value is not None]
    value = row[estimate]
    best_first = 0.0 if value is None else -value if estimate == "score" else value
    return row["method"] in CONTROLS, value is None, best_first, -fmean(means) if means else inf, row["method"]

"""Numbers behind the charts of one task: accuracy against MB, curves, classes, bytes. Accuracy in %, MB = 1e6 bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmark.analysis.curves import over_rounds
from benchmark.analysis.tables import REFERENCE
from benchmark.analysis.time_to_accuracy import PROFILES, clocks
from benchmark.core.data.manifest import manifest
from benchmark.core.tasks.task import Task
from benchmark.records.record import Record

if TYPE_CHECKING:
    from pandas import DataFrame

    from benchmark.records.index import ResultsIndex

CHOSEN = 5  # methods that charts draw in colour before one chooses others
KINDS = 6  # of messages with a colour of their own; two colours are for the others, down and up


def task(index: ResultsIndex, name: str, frame: DataFrame) -> dict[str, Any]:
    """Everything that the charts of a task draw, by method where there is one curve per method."""
    valid = {method: list(index.valid_records(name, method).values()) for method in dict.fromkeys(frame["method"])}
    records = {method: by_seed for method, by_seed in valid.items() if by_seed}
    scatter = points(index, frame)
    dataset = manifest().get(index.tasks[name].dataset)
    return {
        "points": scatter, "chosen": chosen(scatter), "methods": list(records),
        "classes": list(dataset.classes) if dataset else [],
        "curves": {method: over_rounds(by_seed) for method, by_seed in records.items()},
        "bytes": traffic(records),
        "minutes": {method: minutes(index, index.tasks[name], by_seed) for method, by_seed in records.items()},
    }  # fmt: skip


def minutes(index: ResultsIndex, task: Task, records: Sequence[Record]) -> dict[str, list[float]]:
    """Mean minutes until each evaluation of a curve, by profile of devices; {} for pooled data."""
    rounds = over_rounds(records)["round"]
    times = {name: clocks(index, task, records, profile) for name, profile in PROFILES.items()}
    return {
        name: [round(fmean(seconds[number - 1] for seconds in seeds) / 60, 3) for number in rounds]
        for name, seeds in times.items() if seeds
    }  # fmt: skip


def points(index: ResultsIndex, frame: DataFrame) -> list[dict[str, Any]]:
    """A point per comparable row: mean accuracy and interval against MB in both directions; front: on the Pareto front.

    A method that pools the data is not federated and never on the front.
    """
    scatter = []
    for row in frame[frame["comparable"]].to_dict(orient="records"):
        half = row["accuracy_interval"]
        scatter.append({
            "method": row["method"], "accuracy": row["accuracy"], "mb": round(row["mb_up"] + row["mb_down"], 3),
            "low": round(max(0.0, row["accuracy"] - half), 3), "high": round(min(100.0, row["accuracy"] + half), 3),
            "forgetting": row["forgetting"], "pooled": row["method"] in index.methods
            and index.methods[row["method"]].pooled,
        })  # fmt: skip
    federated = [point for point in scatter if not point["pooled"]]
    return [point | {"front": not point["pooled"] and not any(_beats(other, point) for other in federated)}
            for point in scatter]  # fmt: skip


def _beats(one: dict[str, Any], two: dict[str, Any]) -> bool:
    """No worse in both and better in one."""
    return (
        one["accuracy"] >= two["accuracy"] and one["mb"] <= two["mb"]
        and (one["accuracy"], one["mb"]) != (two["accuracy"], two["mb"])
    )  # fmt: skip


def chosen(scatter: Sequence[dict[str, Any]]) -> list[str]:
    """The reference and the most accurate federated methods."""
    ranked = [point["method"] for point in scatter if not point["pooled"]]
    reference = [REFERENCE] if REFERENCE in ranked else []
    best = [method for method in ranked if method != REFERENCE][: CHOSEN - len(reference)]
    return reference + best


def traffic(records: dict[str, list[Record]]) -> list[dict[str, Any]]:
    """MB of payload of every message by method over the whole run, mean over seeds.

    kind: direction and name, or `other` in this direction for all but the kinds that make up most of methods' payload
    """
    sizes = {method: _sizes(by_seed) for method, by_seed in records.items()}
    weight: dict[tuple[str, str], float] = defaultdict(float)
    for messages in sizes.values():
        for message, size in messages.items():
            weight[message] += size / (sum(messages.values()) or 1.0)
    shown = {message for message, _ in sorted(weight.items(), key=lambda item: (-item[1], item[0]))[:KINDS]}
    return [
        {"method": method, "name": message[1], "mb": round(size, 4),
         "kind": f"{message[0]}: {message[1] if message in shown else 'other'}"}
        for method, messages in sizes.items() for message, size in sorted(messages.items())
    ]  # fmt: skip


def _sizes(records: Sequence[Record]) -> dict[tuple[str, str], float]:
    """MB by direction and name, mean over seeds."""
    sizes: dict[tuple[str, str], float] = {}
    for record in records:
        for _, direction, name, payload in record.result.bytes.by_name if record.result else []:
            sizes[direction, name] = sizes.get((direction, name), 0.0) + payload / len(records) / 1e6
    return sizes

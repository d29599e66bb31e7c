"""Compares two records of one cell: bit for bit, or within a tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmark.records import store
from benchmark.records.record import Record

Content = Mapping[str, Any]  # a record as JSON
MEASURES: dict[str, Callable[[Content], float]] = {
    "accuracy": lambda result: result["accuracy"],
    "accuracy_last5": lambda result: result["accuracy_last5"],
    "mean_accuracy": lambda result: fmean(entry["accuracy"] for entry in result["evaluations"]),  # over all rounds
    "forgetting": lambda result: result["forgetting"],
}
"""Numbers of a result in [0, 1] that may differ between processors."""


@dataclass(frozen=True)
class Comparison:
    """How a record differs from an earlier one of its cell.

    difference: the first value that differs, "" if status and result are equal bit for bit
    changes: what differs by more than is allowed
    """

    difference: str
    changes: list[str]


def compare(
    before: Record | Content, after: Record | Content, tolerance: Mapping[str, float] | None = None
) -> Comparison:
    """Compare two records, or their JSON, which may come from two versions of the schema.

    Args:
        before, after: Two records of one cell.
        tolerance: The largest allowed difference of a measure, by its name; measures without one may be anything, bytes
            must be equal. None: every value that both records have must be equal.
    """
    old, new = content(before), content(after)
    if old["status"] != new["status"]:
        reason = f" ({new['reason']})" if new["reason"] else ""
        change = f"status was {old['status']}, is {new['status']}{reason}"
        return Comparison(change, [change])
    if old["result"] is None or new["result"] is None:
        return Comparison("", [])
    difference = _first_difference(old["result"], new["result"])
    changes = [text] if (text := _first_difference(old["result"]["bytes"], new["result"]["bytes"], "bytes")) else []
    allowed = dict.fromkeys(MEASURES, 0.0) if tolerance is None else tolerance
    for name, limit in allowed.items():
        gap = MEASURES[name](new["result"]) - MEASURES[name](old["result"])
        if abs(gap) > limit:
            changes.append(f"{name} {gap * 100:+.2f} points" + (f", allowed ±{limit * 100:.2f}" if limit else ""))
    if tolerance is None and difference and not changes:
        changes = [difference]
    return Comparison(difference, changes)


def content(record: Record | Content) -> Content:
    """A record as JSON."""
    return record.model_dump(mode="json", by_alias=True) if isinstance(record, Record) else record


def _first_difference(before: Any, after: Any, name: str = "") -> str:
    """The first value that both have and that differs, in words."""
    old, new = dict(_leaves(before, name)), dict(_leaves(after, name))
    path = next((path for path in old if path in new and old[path] != new[path]), None)
    return "" if path is None else f"{path} was {old[path]}, is {new[path]}"


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, inner in node.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(node, list):
        yield f"length of {path}", len(node)
        for place, inner in enumerate(node):
            yield from _leaves(inner, f"{path}[{place}]")
    else:
        yield path, node


def compare_folders(mine: Path, theirs: Path) -> str:
    """How the records of one folder compare with those of another, in a sentence."""
    known = {entry.record.path: entry.record for entry in store.read_all(theirs) if entry.record}
    records = [entry.record for entry in store.read_all(mine) if entry.record]
    pairs = [(known[record.path], record) for record in records if record.path in known]
    if not pairs:
        return f"none of these {len(records)} cells has a committed record to compare with"
    unequal = [pair for pair in pairs if compare(*pair).difference]
    text = f"{len(pairs) - len(unequal)} of {len(pairs)} cells equal the committed records bit for bit"
    gaps = [abs(new.result.accuracy - old.result.accuracy) for old, new in unequal if old.result and new.result]
    gap = f", accuracy differs by {max(gaps) * 100:.1f} points at most" if gaps else ""
    return f"{text}{gap} (other processors and versions of torch round differently)" if unequal else text

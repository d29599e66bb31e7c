"""docs/findings.md: every number in its prose is a link that names the rows it comes from, and is computed from them.

[46.3 %](#cifar10-shards "fedntd accuracy")
[22.7 points](#cifar10-shards "fedntd minus fedavg accuracy")
[2 times](#cifar10-shards "scaffold over fedavg mb_up")
[38.1 %](#cifar10-mixed "fedproto accuracy of seed 0")
[4](#claims "reproduced")
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.analysis import claim_verdicts, claims
from benchmark.analysis.tables import tables
from benchmark.core.errors import BenchmarkError
from benchmark.records.index import ResultsIndex
from benchmark.records.record import Record

if TYPE_CHECKING:
    from pandas import DataFrame

PAGE = Path("docs", "findings.md")
NUMBER = re.compile(r'\[[^\]]*\]\(#([a-z0-9-]+) "([^"]*)"\)')
QUANTITY = re.compile(r"(\w+)(?: (minus|over) (\w+))? (\w+)(?: of seed (\d+))?")
UNITS = {"mb": "MB", "rounds": "rounds", "forgetting": "points", "difference": "points", "p": ""}
"""By a column's first word; all others are in %."""
SMALLEST_P = 0.0001  # that the page tells from 0
Rows = dict[str, "DataFrame"]  # by task, indexed by method


def fill(text: str, index: ResultsIndex) -> str:
    """The page with its numbers as the records give them.

    Args:
        text: The page. A quantity `of seed K` is of that seed alone and needs no comparable row; the prose must say so.
        index: The records.

    Raises:
        BenchmarkError: A number has no comparable row, or a link names no quantity.
    """
    rows = cache(lambda seed: _comparable(index) if seed is None else _of_seed(index, int(seed)))
    verdicts = claim_verdicts.evaluate(index, claims.load(index.results / "claims.yaml"))
    count: Counter[str] = Counter(verdict.verdict for verdict in verdicts)
    count["claims"] = len(verdicts)

    def number(match: re.Match[str]) -> str:
        task, words = match.groups()
        return f'[{_count(count, words) if task == "claims" else _value(rows, task, words)}](#{task} "{words}")'

    return NUMBER.sub(number, text)


def _count(count: Counter[str], verdict: str) -> int:
    if verdict not in (*claim_verdicts.VERDICTS, "claims"):
        raise BenchmarkError(f"no verdict {verdict}", where=str(PAGE), user=False)
    return count[verdict]


def _comparable(index: ResultsIndex) -> Rows:
    return {task: frame[frame["comparable"]].set_index("method") for task, frame in tables(index).items()}


def _of_seed(index: ResultsIndex, seed: int) -> Rows:
    """The tables of that seed's valid records alone."""

    def is_valid(record: Record | None) -> bool:
        return record is not None and index.valid_records(record.task, record.algorithm).get(seed) is record

    alone = replace(index, entries=[entry for entry in index.entries if is_valid(entry.record)])
    return {task: frame.set_index("method") for task, frame in tables(alone).items()}


def _value(rows: Callable[[str | None], Rows], task: str, words: str) -> str:
    """A quantity of a table as text with its unit."""
    parts = QUANTITY.fullmatch(words)
    if not parts:
        hint = 'write "METHOD COLUMN", or "METHOD minus METHOD COLUMN", or with over, and "of seed K" after it'
        raise BenchmarkError(f"{task} {words}: no quantity", where=str(PAGE), hint=hint, user=False)
    first, joint, second, column, seed = parts.groups()
    values = [_cell(rows(seed), task, method, column) for method in (first, second) if method]
    unit = UNITS.get(column.split("_")[0], "%")
    if joint == "over" and values[1] == 0:
        hint = 'write "minus" instead of "over"'
        raise BenchmarkError(f"{task} {words}: {second} has 0 there", where=str(PAGE), hint=hint, user=False)
    if joint == "over":
        return f"{values[0] / values[1]:.3g} times"
    if joint == "minus":
        values = [values[0] - values[1]]
    if unit == "%" and (joint or column.endswith("_interval")):
        unit = "points"
    if not unit:
        return f"p = {values[0]:.4f}" if values[0] >= SMALLEST_P else f"p < {SMALLEST_P}"
    return f"{values[0]:.1f} {unit}"


def _cell(frames: Rows, task: str, method: str, column: str) -> float:
    known = task in frames and method in frames[task].index and column in frames[task].columns
    value = frames[task][column].to_dict()[method] if known else None
    if value is None or value != value:  # an empty place of a column is NaN
        message = f"{task} has no comparable row {method} with a column {column}"
        raise BenchmarkError(message, where=str(PAGE), hint="correct the reference, or delete the sentence", user=False)
    return float(value)

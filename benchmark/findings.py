"""docs/findings.md: prose whose every number is a link that names its rows, so that it can be computed again.

    [46.3 %](#cifar10-shards "fedntd accuracy")
    [22.7 points](#cifar10-shards "fedntd minus fedavg accuracy")
    [2 times](#cifar10-shards "scaffold over fedavg mb_up")
    [4](#claims "reproduced")
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from benchmark import claims, verdicts
from benchmark.core.errors import BenchmarkError
from benchmark.leaderboard import tables
from benchmark.suite import Suite

PAGE = Path("docs", "findings.md")
NUMBER = re.compile(r'\[[^\]]*\]\(#([a-z0-9-]+) "([^"]*)"\)')
QUANTITY = re.compile(r"(\w+)(?: (minus|over) (\w+))? (\w+)")
UNITS = {"mb": "MB", "rounds": "rounds", "forgetting": "points", "difference": "points", "p": ""}
"""By a column's first word; all others are in %."""


def fill(text: str, suite: Suite) -> str:
    """The page with its numbers as the records give them; BenchmarkError for a number that has no comparable row."""
    made = {task: frame[frame["comparable"]].set_index("method") for task, frame in tables(suite).items()}
    found = verdicts.evaluate(suite, claims.load(suite.results / "claims.yaml"))
    count: Counter[str] = Counter(finding.verdict for finding in found)
    count["claims"] = len(found)

    def number(match: re.Match[str]) -> str:
        task, words = match.groups()
        return f'[{_count(count, words) if task == "claims" else _value(made, task, words)}](#{task} "{words}")'

    return NUMBER.sub(number, text)


def _count(count: Counter[str], verdict: str) -> int:
    if verdict not in (*verdicts.VERDICTS, "claims"):
        raise BenchmarkError(f"no verdict {verdict}", where=str(PAGE), user=False)
    return count[verdict]


def _value(made: dict[str, Any], task: str, words: str) -> str:
    """A quantity of a table as text with its unit."""
    parts = QUANTITY.fullmatch(words)
    if not parts:
        hint = 'write "METHOD COLUMN", or "METHOD minus METHOD COLUMN", or with over'
        raise BenchmarkError(f"{task} {words}: no quantity", where=str(PAGE), hint=hint, user=False)
    first, joint, second, column = parts.groups()
    values = [_cell(made, task, method, column) for method in (first, second) if method]
    unit = UNITS.get(column.split("_")[0], "%")
    if joint == "over":
        return f"{values[0] / values[1]:.3g} times"
    if joint == "minus":
        values = [values[0] - values[1]]
    if unit == "%" and (joint or column.endswith("_interval")):
        unit = "points"
    return f"{values[0]:.1f} {unit}" if unit else f"{values[0]:.4f}"


def _cell(made: dict[str, Any], task: str, method: str, column: str) -> float:
    if task not in made or method not in made[task].index or column not in made[task].columns:
        message = f"{task} has no comparable row {method} with a column {column}"
        raise BenchmarkError(message, where=str(PAGE), hint="mend the reference, or leave the sentence out", user=False)
    return float(made[task].loc[method, column])

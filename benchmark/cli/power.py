"""`fedrepro power`: what boards can tell apart, from their records alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.options import RESULTS, Json, Results, names, show
from benchmark.core.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmark.analysis.power import Power


def power(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASK…]", help="Names of tasks, or .yaml files of trial tasks.", show_default="lite"),
    ] = None,
    results: Results = RESULTS,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print tables for a Markdown page.")] = False,
    as_json: Json = False,
) -> None:
    """Print what each board can tell apart: noise, smallest detectable difference, order, floor, ceiling and cost.

    Reads records and trains nothing; for trial tasks it shows the rows as well. docs/power.md says how each number is
    computed.
    """
    from benchmark.analysis.power_tables import boards, estimators, rows

    trial = bool(tasks) and all(_is_file(name) for name in tasks or [])
    found = _trials(tasks or [], results) if trial else _boards(tasks, results)
    if as_json:
        print(json.dumps([_finite(asdict(one)) for one in found], indent=1))
        return
    if not found:
        print(f"no records of {', '.join(tasks) if tasks else 'lite tasks'} in {results}")
        return
    for table in (boards, estimators, rows) if trial else (boards, estimators):
        _print(table(found), markdown)


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _trials(files: Sequence[str], results: Path) -> list[Power]:
    from benchmark.analysis.power import of_trial
    from benchmark.core.tasks import task

    return [found for file in files if (found := of_trial(task.load(file), results))]


def _boards(tasks: Sequence[str] | None, results: Path) -> list[Power]:
    from benchmark.analysis.power import of_board
    from benchmark.analysis.tables import in_order
    from benchmark.records.index import load_index

    if file := next(filter(_is_file, tasks or []), None):
        raise BenchmarkError(f"{file} beside names of tasks", hint="give either names or .yaml files")
    index = load_index(results)
    chosen = names(",".join(tasks or []), index.tasks, "task")
    shown = [task for task in in_order(index) if (task.name in chosen if chosen else task.tier == "lite")]
    return [found for task in shown if (found := of_board(index, task))]


def _print(rows: list[dict[str, Any]], markdown: bool) -> None:
    if not markdown:
        show(rows, as_json=False)
        print()
        return
    from tabulate import tabulate

    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True) + "\n")


def _finite(value: Any) -> Any:
    """JSON has no infinity: it is written as null."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if value in (float("inf"), float("-inf")) else value

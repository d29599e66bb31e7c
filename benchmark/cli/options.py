"""What several commands need: folders, output, lists of names in options."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.core.errors import BenchmarkError
from benchmark.core.processes import cores
from benchmark.paths import RESULTS, ROOT

__all__ = ["RESULTS", "ROOT", "Json", "Results", "Workers", "cores", "names", "numbers", "show"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Results = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of records.", show_default="results")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes, one thread each.", show_default="all cores")
]


def show(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Rows of equal keys as JSON or as a table: wrapped to the width of a terminal, elsewhere a line per row."""
    if as_json:
        print(json.dumps(rows, indent=1, default=str))
        return
    cells = [{key: _cell(value) for key, value in row.items()} for row in rows]
    keys = list(cells[0]) if cells else []
    words = [i for i, key in enumerate(keys) if any(isinstance(row[key], str) for row in cells)]
    if sys.stdout.isatty():
        _wrapped(cells, keys, words)
        return
    from tabulate import tabulate

    print(tabulate(cells, headers="keys", tablefmt="plain", disable_numparse=words))  # in words 10.0 stays 10.0


def _wrapped(cells: Sequence[Mapping[str, Any]], keys: Sequence[str], words: Sequence[int]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for place, key in enumerate(keys):
        side: Any = "left" if place in words else "right"
        table.add_column(Text(key), justify=side, overflow="fold", no_wrap=place == 0)  # names stay in one piece
    for row in cells:
        table.add_row(*(Text(str(row[key])) for key in keys))
    Console().print(table)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def names(text: str, known: Collection[str], what: str) -> list[str]:
    """Names of a comma-separated option; an unknown one is refused with the nearest."""
    given = [name.strip() for name in text.split(",") if name.strip()]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            raise BenchmarkError(f"unknown {what} {name}", hint=hint)
    return given


def numbers(text: str) -> list[int]:
    """Seeds of a comma-separated option."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise BenchmarkError(f"--seeds {text} is not a list of numbers", hint="write it like 0,1,2") from None


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """Names and values of an option that may be repeated."""
    for text in given:
        if "=" not in text or text.startswith("="):
            example = "beta=0.5" if option == "--set" else "timeout_min=60"
            raise BenchmarkError(f"{option} {text} is not NAME=VALUE", hint=f"write it like {option} {example}")
    return dict(text.split("=", 1) for text in given)

"""What long tests measure, on its way into docs/reliability.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Row = tuple[str, str, str]  # number of the point, what was measured, how much
Figures = Callable[[str, str, str], None]
MEASURED = pytest.StashKey[list[Row]]()
REPORT = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: written by `make reliability` -->\n", "<!-- end of figures -->"
HEAD = ["| Point | What | Measured |", "| --- | --- | --- |"]


def report(rows: Sequence[Row]) -> str:
    """Put them into the table, in which the rows of tests that did not run stay; returns the table."""
    before, rest = REPORT.read_text().split(BEGIN)
    old, after = rest.split(END)
    cells = [line.strip("| ").split(" | ") for line in old.splitlines()[len(HEAD) :]]
    known = {(point, what): measured for point, what, measured in cells}
    known |= {(point, what): measured for point, what, measured in rows}
    lines = HEAD + [f"| {point} | {what} | {measured} |" for (point, what), measured in sorted(known.items())]
    table = "\n".join(lines) + "\n"
    REPORT.write_text(before + BEGIN + table + END + after)
    return table

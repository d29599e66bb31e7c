"""The command that makes a page of the records."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import RESULTS, Results


def report(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = Path("report.html"),
    results: Results = RESULTS,
) -> None:
    """Write one HTML file with boards, charts, ranking, claims and methods; it needs no network."""
    from benchmark.records.index import load_index
    from benchmark.reports.html import page

    index = load_index(results)
    page.write(index, out)
    print(f"{out}: {sum(map(len, index.records.values()))} records, {out.stat().st_size / 1e6:.1f} MB")
    left_out = [entry for entry in index.entries if entry.record is None]
    if left_out:
        first = left_out[0]
        where = first.path.relative_to(results).as_posix()
        print(f"{len(left_out)} files are left out, {where} for one: {first.reason}", file=sys.stderr)

"""Commands on this machine and for other tools: what is there, and records in their formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.options import Json, cores, show
from benchmark.core.errors import BenchmarkError


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(doctor)
    app.command()(export)


def doctor(as_json: Json = False) -> None:
    """Show what this machine has, how long the quick suite takes, and what to do about what is missing."""
    from benchmark.cli.diagnostics import examine

    findings = examine(cores())
    if as_json:
        show([finding._asdict() for finding in findings], as_json)
        return
    wide = max(len(finding.what) for finding in findings)
    for what, found, remedy in findings:
        print(f"{'!' if remedy else ' '} {what:{wide}}  {found}" + (f"; to get it: {remedy}" if remedy else ""))


def export(
    record: Annotated[Path, typer.Argument(help="A record, results/<task>/<method>/<seed>.json.", metavar="RECORD")],
    tensorboard: Annotated[Path | None, typer.Option(metavar="FOLDER", help="TensorBoard's log folder.")] = None,
) -> None:
    """Write the curves of a record for TensorBoard."""
    from benchmark.records import tensorboard as formats

    if tensorboard is None:
        raise BenchmarkError("no format is chosen", hint="add --tensorboard FOLDER")
    written = formats.tensorboard(record, tensorboard)
    print(f"{written}: `tensorboard --logdir {tensorboard}` shows it")

"""`fedrepro export`: the curves of a record for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.core.errors import BenchmarkError


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

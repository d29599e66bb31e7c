"""Runs a cell under a live view; shared by several commands."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run_visibly(cell: Any, results: Path, run_cell: Callable[..., Any]) -> Any:
    """Run a cell under a live view and say where its record is; run_cell: `running.run` or one like it."""
    from benchmark.experiments.progress import Outcome, label, watch

    started = time.monotonic()
    with watch({label(cell): 1.0}) as view:
        view.begin(cell)
        record = run_cell(cell, results, observer=lambda event: view.round(cell, event))
        if view.shares[label(cell)] == 0:
            print("done before; nothing was run")
        view.end(Outcome(cell, record, time.monotonic() - started))
    print(f"record: {results / record.path}  result_sha256: {record.result_sha256}{'  audited' * cell.audit}")
    return record

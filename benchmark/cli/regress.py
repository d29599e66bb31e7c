"""`fedrepro regress`: are the numbers of every method what they were?"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.options import RESULTS, Json, Workers, cores, names, show
from benchmark.core.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmark.experiments.cell import Cell
    from benchmark.experiments.regress import Comparison
    from benchmark.records.index import ResultsIndex


def regress(
    methods: Annotated[str, typer.Option(metavar="A,B", help="Only these; default all.")] = "",
    base: Annotated[
        str, typer.Option(metavar="REV", help="Compare with this revision, trained here, instead of with records.")
    ] = "",
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Train one small cell of every method and compare accuracy, forgetting and bytes: with its record, or with --base.

    With --base every cell is trained twice on this machine, with the code and the tasks of that revision and with the
    tree as it is, and must come out bit for bit. Prints before and after; ends with exit code 1 if any method's numbers
    have changed. Writes nothing into results/.
    """
    from benchmark.experiments.regress import against_revision, applicable_cells, recorded_cells
    from benchmark.records.index import index_with_live_methods

    index = index_with_live_methods(RESULTS)
    chosen = names(methods, index.methods, "method") or sorted(index.methods)
    cells = [cell for cell in (applicable_cells if base else recorded_cells)(index) if cell.algorithm in chosen]
    if not cells:
        hint = "`fedrepro campaign --tier quick` makes records, --base REV needs none"
        raise BenchmarkError("none of these methods has a record on a quick task to be compared with", hint=hint)
    if base:
        comparisons = against_revision(base, cells, workers or cores(), lambda text: print(text, file=sys.stderr))
    else:
        comparisons = _against_records(index, cells, workers or cores())
    if as_json:
        print(json.dumps([comparison.row() for comparison in comparisons], indent=1))
    else:
        show([_line(comparison) for comparison in comparisons], as_json=False)
        lacking = sorted(set(chosen) - {cell.algorithm for cell in cells})
        print(f"nothing to compare with: {', '.join(lacking)}" if lacking else "every method was compared")
    changed = [comparison.cell.algorithm for comparison in comparisons if comparison.verdict == "changed"]
    if changed:
        hint = "correct the code; if the change is meant, raise the engine's version or run the method's records again"
        raise BenchmarkError(f"numbers have changed: {', '.join(changed)}", hint=hint, user=False)


def _against_records(index: ResultsIndex, cells: list[Cell], workers: int) -> list[Comparison]:
    from benchmark.experiments.cost_model import CostModel, measured
    from benchmark.experiments.progress import label, watch
    from benchmark.experiments.regress import against_records

    cost = CostModel(measured(RESULTS), {})
    costs = {label(cell): cost((cell.task, cell.algorithm)) for cell in cells}
    with tempfile.TemporaryDirectory() as folder, watch(costs, stderr=True) as view:
        return against_records(index, cells, Path(folder), workers, view)


def _line(comparison: Comparison) -> dict[str, str]:
    """Before and after as a reviewer reads them, accuracy and forgetting in %, MB = 1e6 bytes."""
    row = comparison.row()
    return {
        "method": row["method"],
        "task": row["task"],
        "accuracy %": _pair(row["accuracy"], 100, 1),
        "forgetting %": _pair(row["forgetting"], 100, 1),
        "MB up": _pair(row["bytes_up"], 1e-6, 3),
        "MB down": _pair(row["bytes_down"], 1e-6, 3),
        "verdict": row["verdict"],
        "why": row["why"],
    }


def _pair(values: list[Any], factor: float, digits: int) -> str:
    before, after = ("none" if value is None else f"{value * factor:.{digits}f}" for value in values[:2])
    text = before if before == after else f"{before} → {after}"
    return f"{text} (±{values[2] * factor:.{digits}f})" if len(values) > 2 and values[2] is not None else text

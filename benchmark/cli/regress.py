"""The command for whoever changes code: are the numbers of every method what its records say?"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.options import RESULTS, Json, Workers, cores, names, show
from benchmark.core.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmark.experiments.regress import Comparison


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(regress)


def regress(
    methods: Annotated[str, typer.Option(metavar="A,B", help="Only these; default all with records.")] = "",
    workers: Workers = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Train one small cell of every method anew and compare accuracy, forgetting and bytes with its record.

    Prints before and after; ends with exit code 1 if any method's numbers have changed. Writes nothing into results/.
    """
    from benchmark.experiments.cost_model import expected, measured
    from benchmark.experiments.progress import label, watch
    from benchmark.experiments.regress import cells, run
    from benchmark.records.index import index_with_live_methods

    suite = index_with_live_methods(RESULTS)
    chosen = names(methods, suite.methods, "method") or sorted(suite.methods)
    found = [cell for cell in cells(suite) if cell.algorithm in chosen]
    if not found:
        hint = "`fedrepro campaign --tier quick` makes records"
        raise BenchmarkError("none of these methods has a record on a quick task to be compared with", hint=hint)
    known = measured(RESULTS)
    costs = {label(cell): expected((cell.task, cell.algorithm), known, {}) for cell in found}
    with tempfile.TemporaryDirectory() as folder, watch(costs, stderr=True) as view:
        compared = run(suite, found, Path(folder), workers or cores(), view)
    if as_json:
        print(json.dumps([one.row() for one in compared], indent=1))
    else:
        show([_line(one) for one in compared], as_json=False)
        lacking = sorted(set(chosen) - {cell.algorithm for cell in found})
        print(f"no record to compare with: {', '.join(lacking)}" if lacking else "every method was compared")
    changed = [one.before.algorithm for one in compared if one.verdict == "changed"]
    if changed:
        hint = "mend the code; if the change is meant, raise the engine's version or run the method's records anew"
        raise BenchmarkError(f"numbers have changed: {', '.join(changed)}", hint=hint, user=False)


def _line(one: Comparison) -> dict[str, str]:
    """Before and after as a reviewer reads them, accuracy and forgetting in %, MB = 1e6 bytes."""
    row = one.row()
    return {
        "method": row["method"], "task": row["task"], "accuracy %": _pair(row["accuracy"], 100, 1),
        "forgetting %": _pair(row["forgetting"], 100, 1), "MB up": _pair(row["bytes_up"], 1e-6, 3),
        "MB down": _pair(row["bytes_down"], 1e-6, 3), "verdict": row["verdict"], "why": row["why"],
    }  # fmt: skip


def _pair(values: list[Any], factor: float, digits: int) -> str:
    before, after = (None if value is None else f"{value * factor:.{digits}f}" for value in values[:2])
    text = f"{before}" if before == after else f"{before} → {after or 'none'}"
    return f"{text} (±{values[2] * factor:.{digits}f})" if len(values) > 2 else text

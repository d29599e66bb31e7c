"""`fedrepro run`: one cell."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.cli.cell_view import run_visibly
from benchmark.cli.options import Workers, cores, pairs
from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks.partition_config import Backend, Precision


def run(
    method: Annotated[str, typer.Argument(help="Name of a method, or a .py file of your own.", metavar="METHOD")],
    task: Annotated[str, typer.Option(help="Name of a task, or a .yaml file of your own.")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a hyper-parameter.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Other rounds than the task's.")] = None,
    workers: Workers = None,
    precision: Annotated[Precision | None, typer.Option(help="Other precision than the task's.")] = None,
    backend: Annotated[Backend, typer.Option(help="Clients one by one, or stacked.")] = "loop",
    device: Annotated[str, typer.Option(help="Torch device of the stacked backend.")] = "cpu",
    graphs: Annotated[bool, typer.Option("--graphs", help="CUDA graphs in the stacked backend.")] = False,
    audit: Annotated[bool, typer.Option("--audit", help="Server and clients apart, in sandboxed processes.")] = False,
    ray: Annotated[str, typer.Option(metavar="ADDRESS", help="Spread clients over this Ray cluster, or `auto`.")] = "",
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write here, not into results/.")] = None,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="Keep the judged models' answers, in FOLDER.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON per round, then the record.")] = False,
) -> None:
    """Run one cell, or resume it; a finished one is shown, not run again. An audit runs it again and compares the two.

    Changes of the protocol (--set, --rounds, --precision, files of your own) require --out.
    """
    from benchmark.experiments.cell import Cell, home

    cell = Cell(task, method, seed, pairs(set_ or [], "--set"), rounds, precision, backend, device, graphs, audit)
    results = home(cell, out, predictions)
    if predictions and audit:
        raise BenchmarkError("an audit keeps no predictions", hint="run the cell plainly, with --predictions")
    if ray and (audit or backend == "stacked"):
        what = "--audit" if audit else "--backend stacked"
        raise BenchmarkError(f"{what} keeps to this machine", hint="leave --ray out")
    how: dict[str, Any] = {"make": partial(_cluster, ray)} if ray else {"workers": workers or cores()}
    if not audit:
        how |= {"replace": out is None, "predictions": predictions}
    record = (_lines if as_json else run_visibly)(cell, results, partial(_running(cell), **how))
    if record.status != "ok":
        raise typer.Exit(1)


def _cluster(address: str, ready: Any, federation: Any) -> Any:
    from benchmark.core.backends.ray_backend import RayBackend

    config = ready.worker_config(verify=True)
    return RayBackend(config, ready.identity, address, lambda client: federation.who(client).size)


def _running(cell: Any) -> Callable[..., Any]:
    """The function that runs a cell; an audit's does not import the method."""
    from benchmark.experiments.audit import audit
    from benchmark.experiments.run import run

    return audit if cell.audit else run


def _lines(cell: Any, results: Path, run_cell: Callable[..., Any]) -> Any:
    record = run_cell(cell, results, observer=lambda event: print(json.dumps(event), flush=True))
    print(json.dumps(record.model_dump(mode="json", by_alias=True), sort_keys=True), flush=True)
    return record

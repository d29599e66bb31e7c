"""Commands on one cell: run it, replay a recorded trajectory, show how a task's data are split."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.cli.options import Json, Workers, cores, pairs, show
from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks.partition_config import Backend, Precision


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(run)
    app.command()(golden)
    app.command()(profile)


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
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON per round, then the record.")] = False,
) -> None:
    """Run one cell, or resume it; a finished one is shown, not run again. An audit runs it anew and compares the two.

    Changes of the protocol (--set, --rounds, --precision, files of your own) require --out.
    """
    from benchmark.experiments.cell import Cell, home
    from benchmark.experiments.run import remove_stale

    cell = Cell(task, method, seed, pairs(set_ or [], "--set"), rounds, precision, backend, device, graphs, audit)
    results = home(cell, out)
    if out is None and not audit:
        remove_stale(cell, results)
    if ray and (audit or backend == "stacked"):
        what = "--audit" if audit else "--backend stacked"
        raise BenchmarkError(f"{what} keeps to this machine", hint="leave --ray out")
    how = {"make": partial(_cluster, ray)} if ray else {"workers": workers or cores()}
    record = (_lines if as_json else watched)(cell, results, partial(_running(cell), **how))
    if record.status != "ok":
        raise typer.Exit(1)


def _cluster(address: str, ready: Any, federation: Any) -> Any:
    from benchmark.core.backends.ray_backend import RayBackend

    return RayBackend(ready.setting(verify=True), ready.identity, address, lambda client: federation.who(client).size)


def _running(cell: Any) -> Callable[..., Any]:
    """The function that runs a cell; an audit's does not import the method."""
    from benchmark.experiments.audit import audit
    from benchmark.experiments.run import run

    return audit if cell.audit else run


def _lines(cell: Any, results: Path, run_cell: Callable[..., Any]) -> Any:
    record = run_cell(cell, results, observer=lambda event: print(json.dumps(event), flush=True))
    print(json.dumps(record.model_dump(mode="json", by_alias=True), sort_keys=True), flush=True)
    return record


def watched(cell: Any, results: Path, run_cell: Callable[..., Any]) -> Any:
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


def golden(
    file: Annotated[Path, typer.Argument(help="A trajectory in the format of the golden files (.npz).")],
) -> None:
    """Replay a recorded trajectory through the engine and print the largest difference of any parameter."""
    from benchmark.core import method_files
    from benchmark.replay.trajectory import replay

    print(json.dumps(replay(file, method_files.make)))


def profile(
    method: Annotated[str, typer.Argument(help="Name of a method.", metavar="METHOD")],
    task: Annotated[str, typer.Option(help="Name of a task.")],
    rounds: Annotated[int, typer.Option(min=4, help="Rounds to run.")] = 4,
    precision: Annotated[Precision | None, typer.Option(help="Other precision than the task's.")] = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Show where a round's time goes, how busy the workers are, and the share of bare loops' throughput reached.

    Runs once in this process and once on workers, and writes nothing. Clock times need a quiet machine.
    """
    from benchmark.experiments.cell import Cell
    from benchmark.profiling.round_throughput import pace
    from benchmark.profiling.time_breakdown import profile as measure

    cell = Cell(task, method, rounds=rounds, precision=precision)
    facts = measure(cell)
    whole = pace(cell, workers or cores(), facts["images"])
    if as_json:
        print(json.dumps({**facts, "whole_round": whole}))
        return
    total = sum(facts["seconds"].values())
    rows = [{"part": p, "CPU s": s, "share": f"{s / total:.1%}"} for p, s in facts["seconds"].items()]
    show(rows, False)
    print(
        f"local training: {facts['images_per_second']} images per CPU second, {facts['share']:.0%} of a bare loop's "
        f"{facts['bare_images_per_second']}\n"
        f"whole round on {whole['workers']} workers: {whole['seconds']} s, {whole['share']:.0%} of what bare loops "
        f"side by side reach ({whole['share_of_cpu']:.0%} by CPU seconds); workers idle {1 - whole['busy']:.1%} of it; "
        f"{whole['memory'] / 1e9:.2f} GB"
    )

"""The command that runs a cell in Flower's simulation engine."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.cell_view import run_visibly
from benchmark.cli.options import pairs, show
from benchmark.core.errors import BenchmarkError


def flower(
    method: Annotated[str, typer.Argument(help="Name of a method, or a .py file of your own.", metavar="METHOD")],
    task: Annotated[str, typer.Option(help="Name of a task, or a .yaml file of your own.")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
    nodes: Annotated[int, typer.Option(min=1, help="Flower's virtual nodes, among which the clients are dealt.")] = 2,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a hyper-parameter.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Other rounds than the task's.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write here, not into results/.")] = None,
) -> None:
    """Run one cell as a Flower app in its simulation engine; the result is the one of `fedrepro run`, bit for bit.

    Shows what Flower moved beside the counted bytes. For SuperLink and SuperNodes see docs/flower.md.
    """
    if not all(map(importlib.util.find_spec, ("flwr", "ray"))):
        raise BenchmarkError("Flower is not installed", hint="install it: pip install 'fedrepro[flower]'")
    from benchmark.experiments.cell import Cell, home

    cell = Cell(task, method, seed, pairs(set_ or [], "--set"), rounds)
    results = home(cell, out)
    cell.prepare()
    from benchmark.integrations.flower.server_app import account
    from benchmark.integrations.flower.simulation import simulate

    record = run_visibly(cell, results, partial(simulate, nodes=nodes, replace=out is None))
    if rows := account(record, results):
        show(rows, False)
    if record.status != "ok":
        raise typer.Exit(1)

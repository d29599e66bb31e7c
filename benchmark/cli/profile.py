"""`fedrepro profile`: where the time of a round goes."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from benchmark.cli.options import Json, Workers, cores, show
from benchmark.core.tasks.partition_config import Precision


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
    from benchmark.profiling.round_throughput import round_throughput
    from benchmark.profiling.time_breakdown import time_breakdown

    cell = Cell(task, method, rounds=rounds, precision=precision)
    facts = time_breakdown(cell)
    whole = round_throughput(cell, workers or cores(), facts["images"])
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

"""`fedrepro verify`: does every number trace to a record?"""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli.options import RESULTS, ROOT, Workers, cores
from benchmark.core.errors import BenchmarkError


def verify(
    cell: Annotated[str, typer.Argument(metavar="[TASK[/METHOD[/SEED]]]", help="With --rerun: which record.")] = "",
    rerun: Annotated[bool, typer.Option("--rerun", help="Run one cell again and compare it, by default any.")] = False,
    workers: Workers = None,
) -> None:
    """Check that every number traces to a record, and every record to what it rests on.

    Trains nothing, but for --rerun, which tries one record instead: it must come out bit for bit on a machine of its
    own kind, and within the tolerance of docs/protocol.md on another.
    """
    from benchmark.pipeline.verify import verify as findings

    if rerun:
        _rerun(cell, workers or cores())
        return
    if cell:
        raise BenchmarkError(f"{cell} is only looked at when it is run", hint="add --rerun")
    found = findings(ROOT)
    for sentence in found:
        print(sentence)
    if found:
        raise BenchmarkError(f"{len(found)} findings", hint="each line says what to do", user=False)
    print("every table, record and fingerprint fits")


def _rerun(where: str, workers: int) -> None:
    from benchmark.experiments import rerun
    from benchmark.experiments.cost_model import CostModel, measured
    from benchmark.experiments.progress import label, spell, watch
    from benchmark.records.index import index_with_live_methods

    index = index_with_live_methods(RESULTS)
    record = rerun.choose(index, where)
    one = rerun.cell(record, RESULTS)
    cost = CostModel(measured(RESULTS), {})((record.task, record.algorithm))
    print(f"{label(one)} again, about {spell(cost / workers)}")
    with watch({label(one): 1.0}) as view:
        view.begin(one)
        print(rerun.rerun(record, index, workers=workers, observer=lambda event: view.round(one, event)))

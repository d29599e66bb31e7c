"""`fedrepro bench`: the quick suite as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.cli.jobs import Names, Seeds, fail_if_any, filters, train
from benchmark.cli.options import RESULTS, ROOT, Workers, cores
from benchmark.cli.tables import show_board

if TYPE_CHECKING:
    from benchmark.experiments.progress import Outcome

BENCH = ROOT / "bench"


def bench(
    methods: Names = "", tasks: Names = "", seeds: Seeds = "", workers: Workers = None,
    minutes: Annotated[float, typer.Option(min=0, help="Begin no cell after this time.")] = 4,
) -> None:  # fmt: skip
    """Train every method on every task of the quick suite into bench/, then print the board.

    First seeds come first; a second call trains what is missing or has changed since. Delete bench/ to start again.
    """
    from benchmark.experiments.cost_model import CostModel, measured
    from benchmark.experiments.planner import plan
    from benchmark.records.index import index_with_live_methods

    index = index_with_live_methods(BENCH)
    chosen = filters(index, methods, tasks, seeds)
    cost = CostModel(measured(RESULTS), {})
    outcomes = train(plan(index, tiers=["quick"], **chosen), index, cost, workers or cores(), minutes * 60)
    _report(outcomes, chosen["tasks"])


def _report(outcomes: Sequence[Outcome], tasks: list[str]) -> None:
    """The board of bench/, what is missing on it, and how its records compare with the committed ones."""
    from benchmark.records.compare import compare_folders
    from benchmark.records.index import index_with_live_methods

    index = index_with_live_methods(BENCH)
    show_board(index, tasks)
    for method, facts in index.methods.items():
        if facts.fault:
            print(f"left out: {method}: {facts.fault}")
    print(f"\n{compare_folders(BENCH, RESULTS)}")
    fail_if_any(outcomes)

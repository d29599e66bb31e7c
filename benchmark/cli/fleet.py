"""Commands on many cells: the quick suite as a whole, and the campaign that fills the boards."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from benchmark.cli.shared import RESULTS, ROOT, Workers, cores, names, numbers
from benchmark.cli.tables import show_board
from benchmark.core.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmark.cell import Cell
    from benchmark.progress import Outcome
    from benchmark.suite import Suite

BENCH = ROOT / "bench"
Names = Annotated[str, typer.Option(metavar="A,B", help="Only these; default all that apply.")]
Seeds = Annotated[str, typer.Option(metavar="0,1", help="Only these; default the task's.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(bench)
    app.command()(campaign)


def bench(
    methods: Names = "", tasks: Names = "", seeds: Seeds = "", workers: Workers = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train again what bench/ already holds.")] = False,
    minutes: Annotated[float, typer.Option(min=0, help="Begin no cell after this time.")] = 4,
) -> None:  # fmt: skip
    """Train every method on every task of the quick suite into bench/, then print the board.

    First seeds come first; a second call trains what is missing or has changed since.
    """
    from benchmark.campaign import current, plan

    if fresh:
        shutil.rmtree(BENCH, ignore_errors=True)
    suite = current(BENCH)
    chosen = _filters(suite, methods, tasks, seeds)
    outcomes = _train(plan(suite, tiers=["quick"], **chosen), suite, workers or cores(), minutes * 60)
    _report(outcomes, chosen["tasks"])


def campaign(
    tier: Annotated[list[str] | None, typer.Option(help="quick, lite or paper; may be repeated.")] = None,
    methods: Names = "", tasks: Names = "", seeds: Seeds = "", workers: Workers = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would run.")] = False,
) -> None:  # fmt: skip
    """Run every missing or outdated cell into results/, worth most first, until done or interrupted.

    The same command resumes. Nothing is committed.
    """
    from benchmark.campaign import current, plan

    suite = current(RESULTS)
    chosen = _filters(suite, methods, tasks, seeds)
    tiers = names(",".join(tier or []), ["quick", "lite", "paper"], "tier")
    cells = plan(suite, tiers=tiers, **chosen)
    if dry_run:
        _list(cells, workers or cores())
    else:
        _fail_if_any(_train(cells, suite, workers or cores()))


class _Filters(TypedDict):
    methods: list[str]
    tasks: list[str]
    seeds: list[int]


def _filters(suite: Suite, methods: str, tasks: str, seeds: str) -> _Filters:
    return {
        "methods": names(methods, suite.methods, "method"),
        "tasks": names(tasks, suite.tasks, "task"),
        "seeds": numbers(seeds),
    }


def _train(cells: Sequence[Cell], suite: Suite, workers: int, seconds: float = inf) -> list[Outcome]:
    """Run what has its data at hand until all is done or the time is over; says what is not done."""
    from benchmark.campaign import at_hand, costs, measured, run
    from benchmark.progress import watch

    ready, lacking = at_hand(cells, suite)
    for name, why in lacking.items():
        print(f"cells that need {name} must wait: {why}")
    with watch(costs(ready, measured(RESULTS))) as view:
        outcomes = run(ready, suite.results, workers, view, seconds)
    if len(outcomes) < len(ready):
        print(f"the time is over with {len(ready) - len(outcomes)} cells open; the same command goes on with them")
    return outcomes


def _fail_if_any(outcomes: Sequence[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.record is None]
    if failed:
        message = f"{len(failed)} of {len(outcomes)} cells failed; the others are done"
        raise BenchmarkError(message, hint="see the lines above; the same command tries them again", user=False)


def _report(outcomes: Sequence[Outcome], tasks: list[str]) -> None:
    """The board of bench/, what is missing on it, and how its records compare with the committed ones."""
    from benchmark.campaign import agreement, current

    shelf = current(BENCH)
    show_board(shelf, tasks)
    for method, facts in shelf.methods.items():
        if facts.fault:
            print(f"left out: {method}: {facts.fault}")
    print(f"\n{agreement(BENCH, RESULTS)}")
    _fail_if_any(outcomes)


def _list(cells: Sequence[Cell], workers: int) -> None:
    """The cells in their order, and how long they will take on this machine."""
    from benchmark.campaign import costs, measured
    from benchmark.progress import label, spell

    known = measured(RESULTS)
    expected = costs(cells, known)
    for cell in cells:
        print(f"{label(cell)}: {spell(expected[label(cell)]) if known else 'unknown'}")
    total = spell(sum(expected.values()) / workers) if known else "an unknown time"
    print(f"{len(cells)} cells are open; they take about {total} with {workers} workers")

"""Runs many jobs on this machine; shared by `bench` and `campaign`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from benchmark.cli.options import names, numbers
from benchmark.core.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmark.experiments.progress import Outcome
    from benchmark.experiments.tuning import Job
    from benchmark.records.index import ResultsIndex

Cost = Callable[[tuple[str, str]], float]  # core-seconds of a cell by task and method
Names = Annotated[str, typer.Option(metavar="A,B", help="Only these; default all that apply.")]
Seeds = Annotated[str, typer.Option(metavar="0,1", help="Only these; default the task's.")]


class _Filters(TypedDict):
    methods: list[str]
    tasks: list[str]
    seeds: list[int]


def filters(index: ResultsIndex, methods: str, tasks: str, seeds: str) -> _Filters:
    return {
        "methods": names(methods, index.methods, "method"),
        "tasks": names(tasks, index.tasks, "task"),
        "seeds": numbers(seeds),
    }


def train(jobs: Sequence[Job], index: ResultsIndex, cost: Cost, workers: int, seconds: float = inf) -> list[Outcome]:
    """Run what has its data at hand until all is done or the time is over; says what is not done."""
    from benchmark.experiments.executors import run
    from benchmark.experiments.local_executor import LocalExecutor
    from benchmark.experiments.planner import costs, with_available_data
    from benchmark.experiments.progress import watch

    ready, lacking = with_available_data(jobs, index)
    for name, why in lacking.items():
        print(f"cells that need {name} must wait: {why}")
    with watch(costs(ready, index, cost)) as view:
        outcomes = run(ready, LocalExecutor(index.results, workers), view, seconds)
    if len(outcomes) < len(ready):
        print(f"the time is over with {len(ready) - len(outcomes)} cells open; the same command goes on with them")
    return outcomes


def fail_if_any(outcomes: Sequence[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.record is None]
    if failed:
        message = f"{len(failed)} of {len(outcomes)} cells failed; the others are done"
        raise BenchmarkError(message, hint="see the lines above; the same command tries them again", user=False)

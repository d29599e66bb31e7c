"""Commands on many cells: the quick suite as a whole, the campaign that fills the boards, and the tuning before it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import typer
import yaml

from benchmark.cli.options import RESULTS, ROOT, Workers, cores, names, numbers, pairs, show
from benchmark.cli.tables import show_board
from benchmark.core.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmark.experiments.progress import Outcome
    from benchmark.experiments.tuning import Job
    from benchmark.records.index import ResultsIndex

BENCH = ROOT / "bench"
Cost = Callable[[tuple[str, str]], float]  # core-seconds of a cell by task and method
Names = Annotated[str, typer.Option(metavar="A,B", help="Only these; default all that apply.")]
Seeds = Annotated[str, typer.Option(metavar="0,1", help="Only these; default the task's.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(bench)
    app.command()(campaign)
    app.command()(tune)


def bench(
    methods: Names = "", tasks: Names = "", seeds: Seeds = "", workers: Workers = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train again what bench/ already holds.")] = False,
    minutes: Annotated[float, typer.Option(min=0, help="Begin no cell after this time.")] = 4,
) -> None:  # fmt: skip
    """Train every method on every task of the quick suite into bench/, then print the board.

    First seeds come first; a second call trains what is missing or has changed since.
    """
    from benchmark.experiments.cost_model import expected, measured
    from benchmark.experiments.planner import plan
    from benchmark.records.index import index_with_live_methods

    if fresh:
        shutil.rmtree(BENCH, ignore_errors=True)
    suite = index_with_live_methods(BENCH)
    chosen = _filters(suite, methods, tasks, seeds)
    cost = partial(expected, known=measured(RESULTS), work={})
    outcomes = _train(plan(suite, tiers=["quick"], **chosen), suite, cost, workers or cores(), minutes * 60)
    _report(outcomes, chosen["tasks"])


def campaign(
    tier: Annotated[list[str] | None, typer.Option(help="quick, lite or paper; may be repeated.")] = None,
    methods: Names = "", tasks: Names = "", seeds: Seeds = "", workers: Workers = None,
    tune: Annotated[bool, typer.Option(help="Tune a method before its first cell on a lite task.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would run.")] = False,
    executor: Annotated[Literal["local", "ray", "slurm"], typer.Option(help="Where cells run.")] = "local",
    address: Annotated[str, typer.Option(help="Of the Ray cluster.")] = "auto",
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of submitit, such as slurm_partition=cpu.")
    ] = None,
) -> None:  # fmt: skip
    """Run every missing or outdated cell into results/, worth most first, until done or interrupted.

    The same command resumes. Nothing is committed. Elsewhere than locally methods are not tuned first.
    """
    from benchmark.experiments.cost_model import expected, measured
    from benchmark.experiments.planner import plan
    from benchmark.experiments.workload import work
    from benchmark.records.index import index_with_live_methods

    suite = index_with_live_methods(RESULTS)
    chosen = _filters(suite, methods, tasks, seeds)
    tiers = names(",".join(tier or []), ["quick", "lite", "paper"], "tier")
    cost = partial(expected, known=measured(RESULTS), work=work(suite.tasks.values(), suite.methods))
    jobs = plan(suite, tiers=tiers, tune=tune and executor == "local", cost=cost, **chosen)
    if dry_run:
        _list(jobs, suite, cost, workers or cores())
    elif executor != "local":
        _fail_if_any(_spread(jobs, suite, cost, executor, address, pairs(option or [], "--option"), workers))
    else:
        _fail_if_any(_train(jobs, suite, cost, workers or cores()))


def tune(
    method: Annotated[str, typer.Argument(help="Name of a method.", metavar="METHOD")],
    task: Annotated[str, typer.Option(help="Name of a task.")],
    workers: Workers = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write here, not into results/.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the points and what they cost.")] = False,
) -> None:
    """Choose a method's values on a task out of six declared points, by accuracy on validation data.

    One seed, a quarter of the rounds. Unless --out is given, the task has the chosen values from then on, and records
    of other values are outdated. The same command resumes.
    """
    from benchmark.core import method_files
    from benchmark.core.tasks import task as tasks
    from benchmark.experiments import tuning
    from benchmark.experiments.cell import Cell
    from benchmark.experiments.cost_model import expected, measured, tunings
    from benchmark.experiments.progress import Outcome, label, spell, watch
    from benchmark.experiments.workload import work

    Cell(task, method).prepare()  # both exist and fit
    setting, job = tasks.load(task), tuning.Tuning(task, method)
    cost = expected((task, method), measured(RESULTS), work(map(tasks.load, tasks.names()), method_files.names()))
    cost *= tuning.share(setting, method, tunings(RESULTS))
    print(f"{tuning.POINTS} points, {tuning.shortened(setting).rounds} of {setting.rounds} rounds each: "
          f"about {spell(cost / (workers or cores()))}")  # fmt: skip
    if dry_run:
        show([{"point": tuning.spelled(point)} for point in tuning.grid(method, setting)], as_json=False)
        return
    started = time.monotonic()
    with watch({label(job): 1.0}) as view:
        view.begin(job)
        made = job.run(out or RESULTS, workers=workers or cores(), observer=lambda event: view.round(job, event))
        view.end(Outcome(job, made, time.monotonic() - started))
    show(made.rows, as_json=False)


class _Filters(TypedDict):
    methods: list[str]
    tasks: list[str]
    seeds: list[int]


def _filters(suite: ResultsIndex, methods: str, tasks: str, seeds: str) -> _Filters:
    return {
        "methods": names(methods, suite.methods, "method"),
        "tasks": names(tasks, suite.tasks, "task"),
        "seeds": numbers(seeds),
    }


def _train(jobs: Sequence[Job], suite: ResultsIndex, cost: Cost, workers: int, seconds: float = inf) -> list[Outcome]:
    """Run what has its data at hand until all is done or the time is over; says what is not done."""
    from benchmark.experiments.local_executor import run
    from benchmark.experiments.planner import at_hand, costs
    from benchmark.experiments.progress import watch

    ready, lacking = at_hand(jobs, suite)
    for name, why in lacking.items():
        print(f"cells that need {name} must wait: {why}")
    with watch(costs(ready, suite, cost)) as view:
        outcomes = run(ready, suite.results, workers, view, seconds)
    if len(outcomes) < len(ready):
        print(f"the time is over with {len(ready) - len(outcomes)} cells open; the same command goes on with them")
    return outcomes


def _spread(
    jobs: Sequence[Job], suite: ResultsIndex, cost: Cost, executor: str, address: str, options: dict[str, str],
    workers: int | None,
) -> list[Outcome]:  # fmt: skip
    """Run cells on a cluster, and write their records here."""
    from benchmark.experiments import executors
    from benchmark.experiments.cell import Cell
    from benchmark.experiments.planner import costs
    from benchmark.experiments.progress import watch

    cells = [job for job in jobs if isinstance(job, Cell)]
    if executor == "ray":
        place: executors.Executor = executors.Ray(address)
    else:
        values = {name: yaml.safe_load(value) for name, value in options.items()}
        place = executors.Slurm(suite.results / ".slurm", values, workers or 32)
    with watch(costs(cells, suite, cost)) as view:
        return executors.run(cells, suite.results, view, place)


def _fail_if_any(outcomes: Sequence[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.record is None]
    if failed:
        message = f"{len(failed)} of {len(outcomes)} cells failed; the others are done"
        raise BenchmarkError(message, hint="see the lines above; the same command tries them again", user=False)


def _report(outcomes: Sequence[Outcome], tasks: list[str]) -> None:
    """The board of bench/, what is missing on it, and how its records compare with the committed ones."""
    from benchmark.records.compare import agreement
    from benchmark.records.index import index_with_live_methods

    index = index_with_live_methods(BENCH)
    show_board(index, tasks)
    for method, facts in index.methods.items():
        if facts.fault:
            print(f"left out: {method}: {facts.fault}")
    print(f"\n{agreement(BENCH, RESULTS)}")
    _fail_if_any(outcomes)


def _list(jobs: Sequence[Job], suite: ResultsIndex, cost: Cost, workers: int) -> None:
    """The jobs in their order, and how long they will take on this machine."""
    from benchmark.experiments.planner import costs
    from benchmark.experiments.progress import label, spell
    from benchmark.experiments.tuning import Tuning

    expected = costs(jobs, suite, cost)
    for job in jobs:
        print(f"{label(job)}: {spell(expected[label(job)])}")
    tunings = sum(isinstance(job, Tuning) for job in jobs)
    total = spell(sum(expected.values()) / workers)
    print(f"{len(jobs) - tunings} cells and {tunings} tunings are open; they take about {total} with {workers} workers")

"""`fedrepro campaign`: every missing or stale cell."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer
import yaml

from benchmark.cli.jobs import Cost, Names, Seeds, fail_if_any, filters, train
from benchmark.cli.options import RESULTS, Workers, cores, names, pairs

if TYPE_CHECKING:
    from benchmark.experiments.executors import Executor
    from benchmark.experiments.progress import Outcome
    from benchmark.experiments.tuning import Job
    from benchmark.records.index import ResultsIndex


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
    from benchmark.experiments.cost_model import CostModel, errors, measured
    from benchmark.experiments.planner import plan
    from benchmark.experiments.workload import Workload
    from benchmark.records.index import index_with_live_methods

    index = index_with_live_methods(RESULTS)
    chosen = filters(index, methods, tasks, seeds)
    tiers = names(",".join(tier or []), ["quick", "lite", "paper"], "tier")
    cluster = executor != "local" and not dry_run
    remote = _executor(executor, address, pairs(option or [], "--option"), workers) if cluster else None
    known, work = measured(RESULTS), Workload(index.tasks)
    cost = CostModel(known, work)
    jobs = plan(index, tiers=tiers, tune=tune and executor == "local", cost=cost, **chosen)
    if dry_run:
        _list(jobs, index, cost, workers or cores())
        print(_accuracy(errors(known, work), {job.task for job in jobs}))
    elif remote:
        fail_if_any(_run_elsewhere(jobs, index, cost, remote))
    else:
        fail_if_any(train(jobs, index, cost, workers or cores()))


def _executor(name: str, address: str, options: dict[str, str], workers: int | None) -> Executor:
    from benchmark.experiments.cluster_executors import RayExecutor, SlurmExecutor

    if name == "ray":
        return RayExecutor(RESULTS, address)
    return SlurmExecutor(RESULTS, {name: yaml.safe_load(value) for name, value in options.items()}, workers or 32)


def _run_elsewhere(jobs: Sequence[Job], index: ResultsIndex, cost: Cost, executor: Executor) -> list[Outcome]:
    from benchmark.experiments.cell import Cell
    from benchmark.experiments.executors import run
    from benchmark.experiments.planner import costs
    from benchmark.experiments.progress import watch

    cells = [job for job in jobs if isinstance(job, Cell)]
    with watch(costs(cells, index, cost)) as view:
        return run(cells, executor, view)


def _accuracy(errors: dict[tuple[str, str], float], tasks: Collection[str]) -> str:
    """How far forecasts were off on these tasks, in words: factors, up or down alike."""
    factors = sorted(max(error, 1 / error) for (task, _), error in errors.items() if task in tasks)
    if not factors:
        return "no cell of these tasks has been run: how far this is off is not known"
    middle, worst = factors[len(factors) // 2], factors[len(factors) * 9 // 10]
    return (
        f"{len(factors)} methods on these tasks that have been run, each forecast from all the others: off by a factor"
        f" of {middle:.2f} at the median, {worst:.2f} at the ninth decile"
    )


def _list(jobs: Sequence[Job], index: ResultsIndex, cost: Cost, workers: int) -> None:
    """The jobs in their order, and how long they will take on this machine."""
    from benchmark.experiments.planner import costs
    from benchmark.experiments.progress import label, spell
    from benchmark.experiments.tuning import Tuning

    expected = costs(jobs, index, cost)
    for job in jobs:
        print(f"{label(job)}: {spell(expected[label(job)])}")
    tunings = sum(isinstance(job, Tuning) for job in jobs)
    total = spell(sum(expected.values()) / workers)
    print(f"{len(jobs) - tunings} cells and {tunings} tunings are open; they take about {total} with {workers} workers")

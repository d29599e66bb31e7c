"""Which jobs a campaign runs, in what order, and what they are expected to cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Literal

from benchmark.analysis import claim_verdicts, claims
from benchmark.analysis.claims import wanted
from benchmark.core.data.loading import load
from benchmark.core.data.manifest import without_fingerprint
from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks.requirements import datasets
from benchmark.core.tasks.task import TRACKS
from benchmark.experiments.cell import Cell
from benchmark.experiments.progress import label
from benchmark.experiments.tuning import Job, Tuning, read, relative_cost, stale
from benchmark.records.index import ResultsIndex

if TYPE_CHECKING:
    from benchmark.core.tasks.task import Task

Tier = Literal["quick", "lite", "paper"]
Pair = tuple[str, str]  # task and method


def plan(
    index: ResultsIndex, *, tiers: Collection[str] = (), tasks: Collection[str] = (), methods: Collection[str] = (),
    seeds: Collection[int] = (), tune: bool = False, cost: Callable[[Pair], float] = lambda pair: 1.0,
) -> list[Job]:  # fmt: skip
    """Cells without a valid record whose data exist, by priority; an empty filter lets everything through.

    Among cells of equal priority every method has its turn before any has its second; a paper's cells are ordered by
    the claims that they answer per hour.

    Args:
        index: Tasks, methods and records.
        tiers, tasks, methods, seeds: What to leave in.
        tune: Tune a method before its first cell on a lite task, if it is not yet.
        cost: Seconds of a cell.

    Returns:
        Cells and tunings, the first to run first.
    """
    entries, turns = [], Counter[Pair]()
    answers = claim_verdicts.answers(index, claims.load(index.results / "claims.yaml"))
    for task in sorted(index.tasks.values(), key=lambda task: (TRACKS.index(task.track), task.name)):
        if (
            (tasks and task.name not in tasks)
            or (tiers and task.tier not in tiers)
            or without_fingerprint(datasets(task))
        ):
            continue
        for method, jobs in _jobs(index, task, tune).items():
            if methods and method not in methods:
                continue
            turn, pair = float(turns[task.tier, method]), (task.name, method)
            turns[task.tier, method] += 1
            if task.tier == "paper":
                turn = -answers.get(pair, 0.0) / cost(pair)
            entries += [(_priority(task, job, turn), job) for job in jobs if not seeds or job.seed in (None, *seeds)]
    return [job for _, job in sorted(entries, key=lambda entry: entry[0])]


def _jobs(index: ResultsIndex, task: Task, tune: bool) -> dict[str, list[Job]]:
    """What there is to do on a task, by method."""
    jobs: dict[str, list[Job]] = {
        method: [Cell(task.name, method, seed) for seed in seeds] for method, seeds in wanted(index, task.name).items()
    }  # fmt: skip
    for method in untuned(index, task) if tune and task.tier == "lite" else []:
        jobs[method] = [Tuning(task.name, method), *jobs.get(method, [])]
    return dict(sorted(jobs.items()))


def untuned(index: ResultsIndex, task: Task) -> list[str]:
    """Methods that can run a task and whose tuning there is missing or stale."""

    def is_tuned(name: str) -> bool:
        path = Tuning(task.name, name).path(index.results)
        return path.exists() and not stale(read(path), task, index.methods[name].sha256)

    return [
        name
        for name in sorted(index.methods)
        if index.why_not_applicable(task.name, name) is None and not is_tuned(name)
    ]


def _priority(task: Task, job: Job, turn: float) -> tuple[int, int, float, str, bool]:
    """Smallest first: the quick suite, then first seeds of the lite tier, of papers, further seeds alike.

    A method's tuning comes right before its first cell, so that a campaign leaves rows whenever it ends.
    """
    seed = task.seeds[0] if job.seed is None else job.seed
    first = seed == task.seeds[0]
    group = {"quick": 0, "lite": 1 if first else 3, "paper": 2 if first else 4}[task.tier]
    return group, task.seeds.index(seed), turn, job.algorithm, isinstance(job, Cell)


def costs(jobs: Sequence[Job], index: ResultsIndex, cost: Callable[[Pair], float]) -> dict[str, float]:
    """Expected core-seconds of each job by its label; cost: those of a cell by task and method."""
    return {
        label(job): cost((job.task, job.algorithm))
        * (relative_cost(index.tasks[job.task]) if isinstance(job, Tuning) else 1.0)
        for job in jobs
    }


def with_available_data(jobs: Sequence[Job], index: ResultsIndex) -> tuple[list[Job], dict[str, str]]:
    """Jobs whose data can be read, decoding what is not cached yet, and per dataset why the others must wait."""
    tasks = {job.task: index.tasks[job.task] for job in jobs}
    needed = {name: [task.located(dataset) for dataset in datasets(task)] for name, task in tasks.items()}
    lacking = {}
    for name in sorted({name for names in needed.values() for name in names}):
        try:
            load(name)
        except BenchmarkError as error:
            lacking[name] = str(error)
    return [job for job in jobs if not lacking.keys() & needed[job.task]], lacking

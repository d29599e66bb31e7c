"""Many jobs at once: one-thread worker processes, results in finishing order; a job that fails costs only itself."""

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
from benchmark.experiments.cost_model import tunings
from benchmark.experiments.progress import label
from benchmark.experiments.tuning import Job, Tuning, read, share, stale
from benchmark.records.index import ResultsIndex

if TYPE_CHECKING:
    from benchmark.core.tasks.task import Task

Tier = Literal["quick", "lite", "paper"]
Pair = tuple[str, str]  # task and method


def plan(
    suite: ResultsIndex, *, tiers: Collection[str] = (), tasks: Collection[str] = (), methods: Collection[str] = (),
    seeds: Collection[int] = (), tune: bool = False, cost: Callable[[Pair], float] = lambda pair: 1.0,
) -> list[Job]:  # fmt: skip
    """Cells without a standing record whose data exist, worth most first; an empty filter lets everything through.

    Among cells of equal worth every method has its turn before any has its second; a paper's cells stand in the order
    of the claims that they answer per hour.
    tune: before its first cell on a lite task, a method is tuned there if it is not yet
    cost: seconds of a cell
    """
    found, turns = [], Counter[Pair]()
    answers = claim_verdicts.answers(suite, claims.load(suite.results / "claims.yaml"))
    for task in sorted(suite.tasks.values(), key=lambda task: (TRACKS.index(task.track), task.name)):
        if (
            (tasks and task.name not in tasks)
            or (tiers and task.tier not in tiers)
            or without_fingerprint(datasets(task))
        ):
            continue
        for method, jobs in _jobs(suite, task, tune).items():
            if methods and method not in methods:
                continue
            turn, pair = float(turns[task.tier, method]), (task.name, method)
            turns[task.tier, method] += 1
            if task.tier == "paper":
                turn = -answers.get(pair, 0.0) / cost(pair)
            found += [(_rank(task, job, turn), job) for job in jobs if not seeds or job.seed in (None, *seeds)]
    return [job for _, job in sorted(found, key=lambda entry: entry[0])]


def _jobs(suite: ResultsIndex, task: Task, tune: bool) -> dict[str, list[Job]]:
    """What there is to do on a task, by method."""
    jobs: dict[str, list[Job]] = {
        method: [Cell(task.name, method, seed) for seed in seeds] for method, seeds in wanted(suite, task.name).items()
    }  # fmt: skip
    for method in untuned(suite, task) if tune and task.tier == "lite" else []:
        jobs[method] = [Tuning(task.name, method), *jobs.get(method, [])]
    return dict(sorted(jobs.items()))


def untuned(suite: ResultsIndex, task: Task) -> list[str]:
    """Methods that can run a task and whose tuning there is missing or no longer stands."""
    places = {name: Tuning(task.name, name).place(suite.results) for name in sorted(suite.methods)}
    return [
        name for name, place in places.items() if suite.why_not_applicable(task.name, name) is None
        and not (place.exists() and not stale(read(place), task, suite.methods[name].sha256))
    ]  # fmt: skip


def _rank(task: Task, job: Job, turn: float) -> tuple[int, int, float, str, bool]:
    """Sorts jobs by worth: the quick suite, then first seeds of the lite tier, of papers, further seeds alike.

    A method's tuning comes right before its first cell, so that a campaign leaves rows whenever it ends.
    """
    seed = task.seeds[0] if job.seed is None else job.seed
    first = seed == task.seeds[0]
    worth = {"quick": 0, "lite": 1 if first else 3, "paper": 2 if first else 4}[task.tier]
    return worth, task.seeds.index(seed), turn, job.algorithm, isinstance(job, Cell)


def costs(jobs: Sequence[Job], suite: ResultsIndex, cost: Callable[[Pair], float]) -> dict[str, float]:
    """Expected core-seconds of each job by its label; cost: those of a cell by task and method."""
    shares, found = tunings(suite.results), {}
    for job in jobs:
        part = share(suite.tasks[job.task], job.algorithm, shares) if isinstance(job, Tuning) else 1.0
        found[label(job)] = part * cost((job.task, job.algorithm))
    return found


def at_hand(jobs: Sequence[Job], suite: ResultsIndex) -> tuple[list[Job], dict[str, str]]:
    """Jobs whose data can be read, decoding what is not cached yet, and per dataset why the others must wait."""
    needed = {job.task: datasets(suite.tasks[job.task]) for job in jobs}
    lacking = {}
    for name in sorted({name for names in needed.values() for name in names}):
        try:
            load(name)
        except BenchmarkError as error:
            lacking[name] = str(error)
    return [job for job in jobs if not lacking.keys() & needed[job.task]], lacking

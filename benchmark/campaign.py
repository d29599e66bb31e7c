"""Many jobs at once: one-thread worker processes, results in finishing order; a job that fails costs only itself."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from math import inf
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark import catalog, claims, record, running, verdicts
from benchmark.cell import Cell
from benchmark.core import task as tasks
from benchmark.core.data.dataset import load
from benchmark.core.errors import BenchmarkError
from benchmark.core.heap import huge_pages
from benchmark.costs import tunings
from benchmark.failures import explain
from benchmark.leaderboard import TRACKS
from benchmark.pipeline import wanted
from benchmark.progress import Lines, Outcome, label
from benchmark.record import Record
from benchmark.suite import Method, Suite, datasets, unseen
from benchmark.tune import Tuned, Tuning, read, share, stale

if TYPE_CHECKING:
    from benchmark.core.task import Task

Tier = Literal["quick", "lite", "paper"]
Job = Cell | Tuning
Pair = tuple[str, str]  # task and method


def current(results: Path) -> Suite:
    """The suite with the methods as their files are now, not as the pipeline last saw them. Imports torch."""
    methods = {name: Method.model_validate(catalog.describe(name)) for name in catalog.names()}
    return replace(Suite.load(results), methods=methods)


def shelf(results: Path) -> Suite:
    """The suite over a folder of records, with the method files as they are where it holds no fingerprints."""
    return Suite.load(results) if (results / "methods").is_dir() else current(results)


def plan(
    suite: Suite, *, tiers: Collection[str] = (), tasks: Collection[str] = (), methods: Collection[str] = (),
    seeds: Collection[int] = (), tune: bool = False, cost: Callable[[Pair], float] = lambda pair: 1.0,
) -> list[Job]:  # fmt: skip
    """Cells without a standing record whose data exist, worth most first; an empty filter lets everything through.

    Among cells of equal worth every method has its turn before any has its second; a paper's cells stand in the order
    of the claims that they answer per hour.
    tune: before its first cell on a lite task, a method is tuned there if it is not yet
    cost: seconds of a cell
    """
    found, turns = [], Counter[Pair]()
    answers = verdicts.answers(suite, claims.load(suite.results / "claims.yaml"))
    for task in sorted(suite.tasks.values(), key=lambda task: (TRACKS.index(task.track), task.name)):
        if (tasks and task.name not in tasks) or (tiers and task.tier not in tiers) or unseen(task):
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


def _jobs(suite: Suite, task: Task, tune: bool) -> dict[str, list[Job]]:
    """What there is to do on a task, by method."""
    jobs: dict[str, list[Job]] = {
        method: [Cell(task.name, method, seed) for seed in seeds] for method, seeds in wanted(suite, task.name).items()
    }  # fmt: skip
    for method in untuned(suite, task) if tune and task.tier == "lite" else []:
        jobs[method] = [Tuning(task.name, method), *jobs.get(method, [])]
    return dict(sorted(jobs.items()))


def untuned(suite: Suite, task: Task) -> list[str]:
    """Methods that can run a task and whose tuning there is missing or no longer stands."""
    places = {name: Tuning(task.name, name).place(suite.results) for name in sorted(suite.methods)}
    return [
        name for name, place in places.items() if suite.unfit(task.name, name) is None
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


def costs(jobs: Sequence[Job], suite: Suite, cost: Callable[[Pair], float]) -> dict[str, float]:
    """Expected core-seconds of each job by its label; cost: those of a cell by task and method."""
    shares, found = tunings(suite.results), {}
    for job in jobs:
        part = share(suite.tasks[job.task], job.algorithm, shares) if isinstance(job, Tuning) else 1.0
        found[label(job)] = part * cost((job.task, job.algorithm))
    return found


def at_hand(jobs: Sequence[Job], suite: Suite) -> tuple[list[Job], dict[str, str]]:
    """Jobs whose data can be read, decoding what is not cached yet, and per dataset why the others must wait."""
    needed = {job.task: datasets(suite.tasks[job.task]) for job in jobs}
    lacking = {}
    for name in sorted({name for names in needed.values() for name in names}):
        try:
            load(name)
        except BenchmarkError as error:
            lacking[name] = str(error)
    return [job for job in jobs if not lacking.keys() & needed[job.task]], lacking


def run(jobs: Sequence[Job], results: Path, workers: int, view: Lines, seconds: float = inf) -> list[Outcome]:
    """Do jobs of the suite in this order on long-lived worker processes; outcomes in finishing order.

    seconds: after these no job begins any more; those that run are finished
    A cell waits for its method's tuning on its task. However this function ends, no process of it is left behind.
    """
    waiting, outcomes = deque(jobs), []
    deadline = time.monotonic() + seconds
    crew: dict[Connection, _Hand] = {}
    try:
        while waiting or crew:
            while len(crew) < workers and (job := _next(waiting, crew)):
                hand = _Hand(results)
                crew[hand.pipe] = hand
                view.begin(hand.take(job))
            for pipe in wait(list(crew)):
                hand = crew[pipe]  # type: ignore[index]
                outcome = hand.listen(view)
                if outcome is None:
                    continue
                outcomes.append(outcome)
                view.end(outcome)
                hand.job = None
                if time.monotonic() > deadline:
                    waiting.clear()
                if hand.process.is_alive() and (job := _next(waiting, crew)):
                    view.begin(hand.take(job))
                else:
                    crew.pop(hand.pipe).dismiss()
    finally:
        for hand in crew.values():
            hand.dismiss()
    return outcomes


def _next(waiting: deque[Job], crew: Mapping[Connection, _Hand]) -> Job | None:
    """Take the first job that need not wait for a tuning."""
    tuning = {(hand.job.task, hand.job.algorithm) for hand in crew.values() if isinstance(hand.job, Tuning)}
    job = next((job for job in waiting if (job.task, job.algorithm) not in tuning), None)
    if job:
        waiting.remove(job)
    return job


def agreement(mine: Path, theirs: Path) -> str:
    """How the records of one folder compare with those of another, in a sentence."""
    other = {entry.record.path: entry.record for entry in record.read_all(theirs) if entry.record}
    found = [entry.record for entry in record.read_all(mine) if entry.record]
    both = [(made, other[made.path]) for made in found if made.path in other]
    if not both:
        return f"none of these {len(found)} cells has a committed record to compare with"
    equal = sum(made.result_sha256 == known.result_sha256 for made, known in both)
    text = f"{equal} of {len(both)} cells equal the committed records bit for bit"
    if equal == len(both):
        return text
    gaps = [abs(made.result.accuracy - known.result.accuracy) for made, known in both if made.result and known.result]
    gap = f", accuracy differs by {max(gaps) * 100:.1f} points at most" if gaps else ""
    return f"{text}{gap} (other processors and versions of torch round differently)"


class _Hand:
    """A worker process and the job it is at."""

    def __init__(self, results: Path) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"  # inherited: every library in a worker keeps to one thread
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, results), daemon=True)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: the parent alone decides on an interruption
        try:
            with huge_pages():
                self.process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        theirs.close()
        self.job: Job | None = None
        self.started = 0.0

    def take(self, job: Job) -> Job:
        """Begin a job."""
        self.job, self.started = job, time.monotonic()
        self.pipe.send(job)
        return job

    def listen(self, view: Lines) -> Outcome | None:
        """Read one message; the outcome if it ends the job."""
        assert self.job is not None
        try:
            kind, content = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            code = self.process.exitcode
            kind, content = "failed", f"its process ended unexpectedly (exit code {code}; out of memory?)"
        if kind == "round":
            view.round(self.job, content)
            return None
        seconds = time.monotonic() - self.started
        if kind == "failed":
            return Outcome(self.job, None, seconds, content)
        return Outcome(self.job, content, seconds)

    def dismiss(self) -> None:
        """End the process, now: what it had finished is on disk."""
        self.process.terminate()
        self.process.join()
        self.pipe.close()


def _work(pipe: Connection, results: Path) -> None:
    """A worker's life: jobs come through the pipe, rounds and outcomes go back; it ends with its parent."""
    from benchmark.core.backends.pool import follow  # imports torch

    threading.Thread(target=follow, daemon=True).start()
    try:
        while True:
            pipe.send(_one(pipe.recv(), results, lambda event: pipe.send(("round", event))))
    except (EOFError, ConnectionError):
        return


def _one(job: Job, results: Path, observer: Any) -> tuple[str, Record | Tuned | str]:
    try:
        if isinstance(job, Tuning):
            return "done", job.run(results, observer=observer)
        make_way(job, results)
        return "done", running.run(job, results, observer=observer)
    except ConnectionError:
        raise
    except Exception as error:
        return "failed", explain(error)[0]


def make_way(cell: Cell, results: Path) -> None:
    """Remove what older versions of the method, the task or the engine left of a cell: its record, its checkpoint."""
    from benchmark.core import checkpoint  # imports torch

    task, method = tasks.load(cell.task), Method.model_validate(catalog.describe(cell.algorithm))
    home = results / task.name / method.name
    target, unfinished = home / f"{cell.seed}.json", home / f".{cell.seed}.run" / "checkpoint.safetensors"
    if target.exists():
        shelf = Suite(results, {task.name: task}, {method.name: method}, [])
        if shelf.marks(record.read(target)):
            with running.owned(unfinished.parent, target):
                target.unlink()
    if unfinished.exists() and checkpoint.load(unfinished)[1].get("identity") != cell.prepare().identity:
        with running.owned(unfinished.parent, target):
            shutil.rmtree(unfinished.parent)

"""Many cells at once: one-thread worker processes, results in finishing order; a cell that fails costs only itself."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import inf
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark import catalog, record
from benchmark import cell as cells_
from benchmark.board import TRACKS
from benchmark.cell import Cell
from benchmark.core import task as tasks
from benchmark.core.data.dataset import load
from benchmark.core.errors import BenchmarkError
from benchmark.failures import explain
from benchmark.pipeline import wanted
from benchmark.progress import Lines, Outcome, label
from benchmark.record import Record
from benchmark.suite import Method, Suite, datasets

if TYPE_CHECKING:
    from benchmark.core.task import Task

Tier = Literal["quick", "lite", "paper"]


def current(results: Path) -> Suite:
    """The suite with the methods as their files are now, not as the pipeline last saw them. Imports torch."""
    methods = {name: Method.model_validate(catalog.describe(name)) for name in catalog.names()}
    return replace(Suite.load(results), methods=methods)


def plan(
    suite: Suite, *, tiers: Collection[str] = (), tasks: Collection[str] = (), methods: Collection[str] = (),
    seeds: Collection[int] = (),
) -> list[Cell]:  # fmt: skip
    """Cells without a standing record, worth most first; an empty filter lets everything through.

    Among cells of equal worth every method has its turn before any has its second.
    """
    found, turns = [], Counter[tuple[str, str]]()
    for task in sorted(suite.tasks.values(), key=lambda task: (TRACKS.index(task.track), task.name)):
        if (tasks and task.name not in tasks) or (tiers and task.tier not in tiers):
            continue
        for method, missing in wanted(suite, task.name).items():
            if methods and method not in methods:
                continue
            turn = turns[task.tier, method]
            turns[task.tier, method] += 1
            for seed in missing:
                if not seeds or seed in seeds:
                    found.append(
                        (_worth(task, seed), task.seeds.index(seed), turn, method, Cell(task.name, method, seed))
                    )
    return [cell for *_, cell in sorted(found, key=lambda entry: entry[:4])]


def _worth(task: Task, seed: int) -> int:
    """Rank: the quick suite, then first seeds of the lite tier, of papers, further seeds in the same order."""
    first = seed == task.seeds[0]
    return {"quick": 0, "lite": 1 if first else 3, "paper": 2 if first else 4}[task.tier]


def at_hand(cells: Sequence[Cell], suite: Suite) -> tuple[list[Cell], dict[str, str]]:
    """Cells whose data can be read, decoding what is not cached yet, and per dataset why the others must wait."""
    needed = {cell.task: datasets(suite.tasks[cell.task]) for cell in cells}
    lacking = {}
    for name in sorted({name for names in needed.values() for name in names}):
        try:
            load(name)
        except BenchmarkError as error:
            lacking[name] = str(error)
    return [cell for cell in cells if not lacking.keys() & needed[cell.task]], lacking


def measured(results: Path) -> dict[tuple[str, str], float]:
    """Core-seconds of a cell by task and method, the mean over the seeds that were run."""
    found: dict[tuple[str, str], list[float]] = {}
    for path in results.glob("*/*/*.run.json"):
        try:
            run = json.loads(path.read_bytes())
            found.setdefault((path.parts[-3], path.parts[-2]), []).append(float(run["seconds"]) * int(run["workers"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a damaged note on a run's speed costs an estimate, nothing else
    return {pair: sum(values) / len(values) for pair, values in found.items()}


def costs(cells: Sequence[Cell], known: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """Expected core-seconds by label: as measured for task and method, else the mean of the task, of all, or 1."""
    everything = _mean(list(known.values()), 1.0)
    tasks = {cell.task for cell in cells}
    of_task = {name: _mean([s for (task, _), s in known.items() if task == name], everything) for name in tasks}
    return {label(cell): known.get((cell.task, cell.algorithm), of_task[cell.task]) for cell in cells}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def run(cells: Sequence[Cell], results: Path, workers: int, view: Lines, seconds: float = inf) -> list[Outcome]:
    """Run cells of the suite in this order on long-lived worker processes; outcomes in finishing order.

    seconds: after these no cell begins any more; those that run are finished
    However this function ends, no process of it is left behind.
    """
    waiting, outcomes = deque(cells), []
    deadline = time.monotonic() + seconds
    crew: dict[Connection, _Hand] = {}
    try:
        while waiting or crew:
            while waiting and len(crew) < workers:
                hand = _Hand(results)
                crew[hand.pipe] = hand
                view.begin(hand.take(waiting.popleft()))
            for pipe in wait(list(crew)):
                hand = crew[pipe]  # type: ignore[index]
                outcome = hand.listen(view)
                if outcome is None:
                    continue
                outcomes.append(outcome)
                view.end(outcome)
                if time.monotonic() > deadline:
                    waiting.clear()
                if waiting and hand.process.is_alive():
                    view.begin(hand.take(waiting.popleft()))
                else:
                    crew.pop(hand.pipe).dismiss()
    finally:
        for hand in crew.values():
            hand.dismiss()
    return outcomes


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
    """A worker process and the cell it is at."""

    def __init__(self, results: Path) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"  # inherited: every library in a worker keeps to one thread
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, results), daemon=True)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: the parent alone decides on an interruption
        try:
            self.process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        theirs.close()
        self.cell: Cell | None = None
        self.started = 0.0

    def take(self, cell: Cell) -> Cell:
        """Begin a cell."""
        self.cell, self.started = cell, time.monotonic()
        self.pipe.send(cell)
        return cell

    def listen(self, view: Lines) -> Outcome | None:
        """Read one message; the outcome if it ends the cell."""
        assert self.cell is not None
        try:
            kind, content = self.pipe.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            code = self.process.exitcode
            kind, content = "failed", f"its process ended unexpectedly (exit code {code}; out of memory?)"
        if kind == "round":
            view.round(self.cell, content)
            return None
        seconds = time.monotonic() - self.started
        if kind == "failed":
            return Outcome(self.cell, None, seconds, content)
        return Outcome(self.cell, content, seconds)

    def dismiss(self) -> None:
        """End the process, now: what it had finished is on disk."""
        self.process.terminate()
        self.process.join()
        self.pipe.close()


def _work(pipe: Connection, results: Path) -> None:
    """A worker's life: cells come through the pipe, rounds and outcomes go back; it ends with its parent."""
    try:
        while True:
            pipe.send(_one(pipe.recv(), results, lambda event: pipe.send(("round", event))))
    except (EOFError, ConnectionError):
        return


def _one(cell: Cell, results: Path, observer: Any) -> tuple[str, Record | str]:
    try:
        make_way(cell, results)
        return "done", cells_.run(cell, results, observer=observer)
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
            target.unlink()
    if unfinished.exists() and checkpoint.load(unfinished)[1]["identity"] != cell.prepare().identity:
        shutil.rmtree(unfinished.parent)

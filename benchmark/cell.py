"""One cell: task x algorithm x seed, run or resumed, and its record written."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from benchmark import catalog, record
from benchmark.core import task as tasks
from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.version import ENGINE, PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmark.core.api import Algorithm
    from benchmark.core.engine import Backend
    from benchmark.core.federation import Federation

Observer = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Cell:
    """What to run.

    task, algorithm: names, or paths of a .yaml and a .py file
    settings: hyper-parameters that replace the task's and the method's own
    rounds, precision: departures from the task; None keeps its values
    """

    task: str
    algorithm: str
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    rounds: int | None = None
    precision: str | None = None

    @property
    def departures(self) -> list[str]:
        """In what this cell departs from its task, in words."""
        task = tasks.load(self.task)
        words = [f"{name} set to {value}" for name, value in sorted(self.settings.items())]
        if self.rounds is not None and self.rounds != task.rounds:
            words.append(f"rounds {self.rounds} instead of {task.rounds}")
        if self.precision is not None and self.precision != task.precision:
            words.append(f"precision {self.precision} instead of {task.precision}")
        return words

    def prepare(self) -> Prepared:
        """Check everything that can be checked without data; raises BenchmarkError."""
        task = tasks.load(self.task)
        path = catalog.find(self.algorithm)
        settings = {**task.methods.get(path.stem, {}), **self.settings}
        algorithm = catalog.make(self.algorithm, settings)
        if self.seed < 0:
            raise BenchmarkError(f"seed {self.seed} is negative", hint="choose a seed of at least 0")
        if self.rounds is not None and self.rounds < 1:
            raise BenchmarkError(f"--rounds {self.rounds}", hint="choose at least 1")
        if reason := catalog.applies(self.algorithm, task):
            fits = [name for name in tasks.names() if not catalog.applies(self.algorithm, tasks.load(name))]
            raise BenchmarkError(f"{path.stem} does not apply to {task.name}: {reason}",
                                 hint=f"tasks that fit: {', '.join(fits) or 'none'}")  # fmt: skip
        changes: dict[str, Any] = {"rounds": self.rounds, "precision": self.precision}
        task = task.model_copy(update={name: value for name, value in changes.items() if value is not None})
        return Prepared(task, path, algorithm, self.seed)


@dataclass(frozen=True)
class Prepared:
    """A cell that can run."""

    task: tasks.Task
    path: Path
    algorithm: Algorithm
    seed: int

    @property
    def settings(self) -> dict[str, Any]:
        """All hyper-parameters, defaults included."""
        return {name: getattr(self.algorithm, name) for name in sorted(entry.name for entry in fields(self.algorithm))}

    @property
    def identity(self) -> str:
        """Hash of everything but the data that the result depends on."""
        parts = [self.task.protocol, catalog.method_sha256(self.path), self.settings, self.seed, ENGINE, PROTOCOL]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def run(cell: Cell, results: Path, *, workers: int = 1, observer: Observer = lambda event: None) -> record.Record:
    """Run a cell, resume it, or return the record that is already there.

    results: folder of records; the cell's is <task>/<algorithm>/<seed>.json in it
    workers: 1 works in this process, more are worker processes; the result is the same
    observer: called after every round with round, rounds, phase, seconds, bytes and, if judged, accuracy
    """
    ready = cell.prepare()
    home = results / ready.task.name / ready.path.stem
    target = home / f"{ready.seed}.json"
    if target.exists():
        found = record.read(target)
        _same(found, ready, target)
        return found
    folder = home / f".{ready.seed}.run"
    with _owned(folder):
        started = monotonic()
        status, reason, result, judged, federation = _execute(ready, folder, workers, observer)
        made = _record(cell, ready, federation, status=status, reason=reason, result=result, judged=judged)
        record.write(made, record.environment(workers=workers, seconds=monotonic() - started), target)
        shutil.rmtree(folder, ignore_errors=True)
    return made


def _execute(ready: Prepared, folder: Path, workers: int, observer: Observer) -> Any:
    from benchmark.core.backends import Setting
    from benchmark.core.engine import Run
    from benchmark.core.federation import Federation

    federation = Federation.open(ready.task, ready.seed, ready.algorithm)
    rebuild = partial(Federation.open, ready.task, ready.seed, verify=False)
    setting = Setting(rebuild, partial(catalog.make, str(ready.path), ready.settings), ready.task.precision)
    backend = _backend(setting, federation, workers)
    try:
        run_ = Run(federation, ready.algorithm, backend, folder, ready.identity, observer)
        result = run_.execute()
        return "ok", "", result, run_.judged, federation
    except Diverged as error:
        return "diverged", str(error), None, run_.judged, federation
    finally:
        backend.close()


def _backend(setting: Any, federation: Federation, workers: int) -> Backend:
    from benchmark.core.backends import Pool, Serial

    if workers == 1:
        return Serial(setting)
    return Pool(setting, workers, lambda client: federation.who(client).size)


def _record(cell: Cell, ready: Prepared, federation: Federation, **parts: Any) -> record.Record:
    from benchmark.core.data.dataset import load
    from benchmark.core.data.partition import fingerprint

    extras = [extra.dataset for extra in (ready.task.public, ready.task.unlabelled) if extra and extra.dataset]
    data = {name: load(name, verify=False).fingerprints for name in sorted({ready.task.dataset, *extras})}
    split = fingerprint(federation.given.parts)
    hashes = {"task": tasks.load(cell.task).sha256, "algorithm": catalog.method_sha256(ready.path), "data": data, "split": split}
    return record.Record(
        schema=record.SCHEMA, protocol=PROTOCOL, engine=ENGINE, task=ready.task.name, algorithm=ready.path.stem,
        seed=ready.seed, track=ready.task.track, settings=ready.settings, departures=cell.departures, hashes=hashes,
        backend="loop", precision=ready.task.precision, rounds=ready.task.rounds, **parts,
    )  # fmt: skip


def _same(found: record.Record, ready: Prepared, target: Path) -> None:
    expected = (catalog.method_sha256(ready.path), ready.settings, ready.task.rounds, ready.task.precision)
    if (found.hashes.algorithm, found.settings, found.rounds, found.precision) != expected:
        raise BenchmarkError("holds the record of another version of this cell", where=str(target),
                             hint="choose another folder, or delete the record to run the cell anew")  # fmt: skip


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """A lock on a cell's folder: two processes do not run the same cell; a dead owner's lock does not count."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BenchmarkError("another process runs this cell", where=str(folder), hint="wait for it") from None
        yield

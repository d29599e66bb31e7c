"""A cell is run or resumed in a folder of its own, and its record written."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO, cast

from benchmark.core import method_files
from benchmark.core.data.loading import load
from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.storage.atomic_files import remove_leftovers
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.requirements import datasets
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.experiments import run as running
from benchmark.experiments.cell import Cell, Prepared
from benchmark.records import environment as environment_
from benchmark.records import record, store
from benchmark.records.index import Method, ResultsIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmark.core.backends.base import Backend
    from benchmark.core.client.federation import Federation

Observer = Callable[[dict[str, Any]], None]
Make = Callable[[Prepared, "Federation"], "Backend"]


def run(
    cell: Cell, results: Path, *, workers: int = 1, observer: Observer = lambda event: None, make: Make | None = None
) -> record.Record:
    """Run a cell, resume it, or return the record that is already there, whichever backend it comes from.

    results: folder of records; the cell's is <task>/<algorithm>/<seed>.json in it
    workers: 1 works in this process, more are worker processes; the result is the same
    observer: called after every round with round, rounds, phase, seconds, bytes and, if judged, accuracy
    make: makes the backend instead, for clients that are elsewhere
    """
    ready = cell.prepare()
    home = results / ready.task.name / ready.path.stem
    target, folder = home / f"{ready.seed}.json", home / f".{ready.seed}.run"
    if not target.exists():
        from benchmark.core.client.federation import Federation

        federation = Federation.open(ready.task, ready.seed, ready.algorithm)
        with owned(folder, target):
            if not target.exists():  # else another process has finished it meanwhile
                made, facts = measure(cell, ready, federation, folder, workers, observer, make)
                store.write(made, facts, target)
    elif folder.exists():  # whoever wrote the record was killed before it could tidy up, or is about to
        with suppress(BenchmarkError), owned(folder, target):
            pass
    found = store.read(target)
    same(found, ready, target)
    return found


def same(found: record.Record, ready: Prepared, target: Path) -> None:
    """Raises BenchmarkError if a record is of another cell, or of another version of this one."""
    if (found.task, found.algorithm, found.seed) != (ready.task.name, ready.path.stem, ready.seed):
        message = f"holds the record of another cell, {found.path.as_posix()}"
        raise BenchmarkError(message, where=str(target), hint="restore the file from git, or delete it", user=False)
    expected = {
        "task": ready.task_sha256, "algorithm": method_files.method_sha256(ready.path), "engine": ENGINE,
        "protocol": PROTOCOL, "settings": json.loads(json.dumps(ready.settings, default=str)),
        "rounds": ready.task.rounds, "precision": ready.task.precision,
    }  # fmt: skip
    facts = {**found.model_dump(), **found.hashes.model_dump(include={"task", "algorithm"})}
    if different := [name for name, value in expected.items() if facts[name] != value]:
        message = f"holds the record of another version of this cell (other {', '.join(different)})"
        hint = "choose another folder, or delete the record to run the cell anew"
        raise BenchmarkError(message, where=str(target), hint=hint)


@contextmanager
def owned(folder: Path, target: Path) -> Iterator[None]:
    """A lock on a cell's folder: two processes do not run the same cell; a dead owner's lock does not count.

    folder: where the cell runs; target: its record. What killed processes left half-written goes at once, and a folder
    that is worth nothing any more, since the record is there or there is no checkpoint, goes with its owner.
    """
    with _locked(folder):
        remove_leftovers(folder)
        remove_leftovers(target.parent, f"{target.stem}.*")
        try:
            yield
        finally:
            if target.exists() or not (folder / "checkpoint.safetensors").exists():
                shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> TextIO:
    import fcntl

    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / "lock").open("a+")
        except FileNotFoundError:
            continue  # another owner has just finished and removed the folder
        except OSError as error:
            hint = "choose another folder"
            raise BenchmarkError(f"cannot be written ({error.strerror})", where=str(folder), hint=hint) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read() or "another process"
            file.close()
            raise BenchmarkError(f"{owner} runs this cell", where=str(folder), hint="wait for it") from None
        if os.fstat(file.fileno()).st_nlink:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            return file
        file.close()


def measure(
    cell: Cell, ready: Prepared, federation: Federation, folder: Path, workers: int, observer: Observer,
    make: Make | None = None,
) -> tuple[record.Record, dict[str, Any]]:  # fmt: skip
    """Run a cell in a folder, from its checkpoint if there is one: its record, and how it was obtained.

    make: makes the backend, where clients are elsewhere
    """
    started = monotonic()
    outcome, before, facts = _execute(ready, federation, folder, make or partial(_backend, cell, workers), observer)
    made, seconds = _record(cell, ready, federation, **outcome), before + monotonic() - started
    environment = environment_.environment(command=cell.command, workers=workers, seconds=seconds, device=cell.device)
    return made, {**environment, **facts}


def _execute(
    ready: Prepared, federation: Federation, folder: Path, make: Make, observer: Observer
) -> tuple[dict[str, Any], float, dict[str, Any]]:
    """The measured part of a record, seconds before an interruption, and what the backend says of how it worked."""
    from benchmark.core.server.rounds import Run
    from benchmark.experiments.server_cache import prepare

    prepare(federation, ready.algorithm, method_files.method_sha256(ready.path))
    backend = make(ready, federation)
    try:
        run_ = Run(federation, ready.algorithm, backend, folder, ready.identity, observer)
        result = run_.execute()
        return (
            {"status": "ok", "reason": "", "result": result, "judged": run_.evaluated_models},
            run_.seconds_before,
            backend.facts,
        )
    except Diverged as error:
        made = {"status": "diverged", "reason": str(error), "result": None, "judged": run_.evaluated_models}
        return made, run_.seconds_before, backend.facts
    finally:
        backend.close()


def _backend(cell: Cell, workers: int, ready: Prepared, federation: Federation) -> Backend:
    from benchmark.core.backends import ProcessPoolBackend, SerialBackend

    if cell.audit:
        from benchmark.core.isolation.backend import IsolatedBackend

        return IsolatedBackend(cast("Any", ready.algorithm), federation, ready.task.precision, workers)
    setting = ready.setting(verify=False)  # this process has verified the data
    if cell.backend == "stacked":
        from benchmark.core.backends.stacked import StackedBackend

        return StackedBackend(setting, cell.device, cell.graphs)
    if workers == 1:
        return SerialBackend(setting)
    return ProcessPoolBackend(setting, workers, lambda client: federation.who(client).size)


def _record(cell: Cell, ready: Prepared, federation: Federation, **parts: Any) -> record.Record:
    from benchmark.core.data.partition_table import fingerprint

    data = {name: load(name, verify=False).fingerprints for name in datasets(ready.task)}
    split = fingerprint(federation.data.parts)
    method = method_files.method_sha256(ready.path)
    hashes = record.Hashes(task=ready.task_sha256, algorithm=method, data=data, split=split)
    return record.Record(
        schema=record.SCHEMA, protocol=PROTOCOL, engine=ENGINE, task=ready.task.name, algorithm=ready.path.stem,
        seed=ready.seed, track=ready.task.track, settings=ready.settings, departures=cell.departures, hashes=hashes,
        backend=ready.backend, precision=ready.task.precision, rounds=ready.task.rounds, **parts,
    )  # fmt: skip


def remove_stale(cell: Cell, results: Path) -> None:
    """Remove what older versions of the method, the task or the engine left of a cell: its record, its checkpoint."""
    from benchmark.core.storage import checkpoint  # imports torch

    task, method = tasks.load(cell.task), Method.model_validate(method_files.describe(cell.algorithm))
    home = results / task.name / method.name
    target, unfinished = home / f"{cell.seed}.json", home / f".{cell.seed}.run" / "checkpoint.safetensors"
    if target.exists():
        index = ResultsIndex(results, {task.name: task}, {method.name: method}, [])
        if index.stale_reasons(store.read(target)):
            with running.owned(unfinished.parent, target):
                target.unlink()
    if unfinished.exists() and checkpoint.load(unfinished)[1].get("identity") != cell.prepare().identity:
        with running.owned(unfinished.parent, target):
            shutil.rmtree(unfinished.parent)

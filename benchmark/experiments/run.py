"""Runs a cell in a folder of its own, resumes it, and writes its record."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
from collections.abc import Callable
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO, cast

from benchmark.core import method_files
from benchmark.core.data import partition_table
from benchmark.core.data.loading import load
from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.storage.atomic_files import remove_leftovers
from benchmark.core.tasks.requirements import datasets
from benchmark.core.version import ENGINE
from benchmark.experiments.cell import Cell, Prepared
from benchmark.records import store
from benchmark.records.environment import environment
from benchmark.records.index import Expected, read_split, stale_reasons
from benchmark.records.predictions import path_of as predictions_of
from benchmark.records.predictions import write as write_predictions
from benchmark.records.record import SCHEMA, Hashes, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmark.core.backends.base import Backend
    from benchmark.core.client.federation import Federation
    from benchmark.core.server.rounds import Run

log = logging.getLogger(__name__)
Observer = Callable[[dict[str, Any]], None]
Make = Callable[[Prepared, "Federation"], "Backend"]


def run(
    cell: Cell,
    results: Path,
    *,
    workers: int = 1,
    observer: Observer = lambda event: None,
    make: Make | None = None,
    replace: bool = False,
    predictions: bool = False,
) -> Record:
    """Run a cell, resume it, or return its record if it is done, whichever backend the record comes from.

    A run that is refused, fails or is interrupted leaves the records as they were: a stale record goes when its
    successor is written over it.

    Args:
        cell: What to run.
        results: Folder of records; the cell's is <task>/<algorithm>/<seed>.json in it.
        workers: 1 works in this process, more are worker processes; the result is the same.
        observer: Called after every round with round, rounds, phase, seconds, bytes and, if judged, accuracy.
        make: Makes the backend instead, for clients that are elsewhere.
        replace: Run a stale record's cell again, instead of refusing.
        predictions: Keep what the judged models answer to the test images; a record without them is run again.

    Returns:
        The record, as it is on disk.

    Raises:
        BenchmarkError: The cell cannot be run, or its record is damaged, of another cell or stale.
    """
    prepared = cell.prepare()
    home = results / prepared.task.name / prepared.path.stem
    target, folder = home / f"{prepared.seed}.json", home / f".{prepared.seed}.run"
    lacking = predictions and not predictions_of(target).exists()
    if not lacking and is_done(cell, prepared, target, replace):
        if folder.exists():  # whoever wrote the record was killed before it could tidy up, or is about to
            with suppress(BenchmarkError), owned(folder, target):
                _clear(folder)
        return store.read(target)
    from benchmark.core.client.federation import Federation

    federation = Federation.open(prepared.task, prepared.seed, prepared.algorithm)
    with (
        closing((make or partial(make_backend, cell, workers))(prepared, federation)) as backend,
        owned(folder, target),
    ):
        if lacking or not is_done(cell, prepared, target, replace):  # else another process has finished it meanwhile
            if replace:
                _discard_stale_checkpoint(folder, prepared.identity)
            keep = partial(_keep_predictions, target) if predictions else None
            record, facts = measure(cell, prepared, federation, backend, folder, workers, observer, keep)
            store.write(record, facts, target)
            log.info("%s: written", target)
        _clear(folder)
    return store.read(target)


def is_done(cell: Cell, prepared: Prepared, target: Path, replace: bool = False) -> bool:
    """Whether a cell has a valid record; BenchmarkError for one of another cell and, unless it may go, a stale one."""
    if not target.exists():
        return False
    record = store.read(target)
    if (record.task, record.algorithm, record.seed) != (prepared.task.name, prepared.path.stem, prepared.seed):
        message = f"holds the record of another cell, {record.path.as_posix()}"
        raise BenchmarkError(message, where=str(target), hint="restore the file from git, or delete it", user=False)
    reasons = stale_reasons(record, _expected(cell, prepared, target.parents[1]))
    if reasons and not replace:
        message = f"holds the record of another version of this cell ({'; '.join(reasons)})"
        hint = "choose another folder, or delete the record to run the cell again"
        raise BenchmarkError(message, where=str(target), hint=hint)
    log.info("%s: %s", target, "; ".join(reasons) or "valid, nothing to run")
    return not reasons


def _expected(cell: Cell, prepared: Prepared, home: Path) -> Expected:
    """home: folder of the task's records"""
    split = None
    if prepared.task.own:  # whose parts may have changed without a trace
        from benchmark.core.client.federation_data import load_federation_data

        split = partition_table.fingerprint(load_federation_data(prepared.task, prepared.seed).parts)
    elif (path := home / "split.json").exists():
        split = read_split(path).get(str(prepared.seed), {}).get("sha256")
    settings = json.loads(json.dumps(prepared.settings, default=str))
    method = method_files.method_sha256(prepared.path)
    return Expected(
        prepared.task.protocol, prepared.task_sha256, method, settings, cell.departures, split, prepared.task.located
    )


def _discard_stale_checkpoint(folder: Path, identity: str) -> None:
    from benchmark.core.storage import checkpoint  # imports torch

    path = folder / "checkpoint.safetensors"
    if path.exists() and checkpoint.load(path)[1].get("identity") != identity:
        _clear(folder)
        log.info("%s: the checkpoint of another version is dropped", folder)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "lock":
            path.unlink()


@contextmanager
def owned(folder: Path, target: Path) -> Iterator[None]:
    """A lock on a cell's folder: two processes do not run the same cell; a dead owner's lock does not count.

    What killed processes left half-written goes at once. A folder without a checkpoint goes with its owner, and so do
    the folders around it that this call made, if they are empty.

    folder: where the cell runs; target: its record
    """
    with no_empty_folders(folder), _locked(folder):
        remove_leftovers(folder)
        remove_leftovers(target.parent, f"{target.stem}.*")
        try:
            yield
        finally:
            if not (folder / "checkpoint.safetensors").exists():
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def no_empty_folders(path: Path) -> Iterator[None]:
    """Folders above a path that did not exist before go at the end, if they are empty."""
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    finally:
        for folder in missing:
            with suppress(OSError):  # it holds something, or was never made
                folder.rmdir()


def _locked(folder: Path) -> TextIO:
    import fcntl

    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / "lock").open("a+", encoding="utf-8")
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
    cell: Cell,
    prepared: Prepared,
    federation: Federation,
    backend: Backend,
    folder: Path,
    workers: int,
    observer: Observer,
    keep: Callable[[Run], None] | None = None,
) -> tuple[Record, dict[str, Any]]:
    """Run a cell in a folder, from its checkpoint if there is one: its record, and how it was obtained.

    keep: called with a run that has a result
    """
    from benchmark.core.server.rounds import Run
    from benchmark.experiments import server_cache

    started = monotonic()
    server_cache.prepare(federation, prepared.algorithm, method_files.method_sha256(prepared.path))
    run_ = Run(federation, prepared.algorithm, backend, folder, prepared.identity, observer)
    outcome: dict[str, Any] = {"status": "ok", "reason": "", "result": None}
    try:
        outcome["result"] = run_.execute()
        if keep:
            keep(run_)
    except Diverged as error:
        outcome |= {"status": "diverged", "reason": str(error)}
    record = _record(cell, prepared, federation, judged=run_.evaluated_models, **outcome)
    seconds = run_.seconds_before + monotonic() - started
    how = environment(command=cell.command, workers=workers, seconds=seconds, device=cell.device)
    return record, {**how, **backend.facts}


def _keep_predictions(target: Path, run_: Run) -> None:
    from benchmark.experiments.predict import predict

    write_predictions(predict(run_), target)


def make_backend(cell: Cell, workers: int, prepared: Prepared, federation: Federation) -> Backend:
    """The backend that a cell asks for."""
    from benchmark.core.backends import ProcessPoolBackend, SerialBackend

    if cell.audit:
        from benchmark.core.isolation.backend import IsolatedBackend

        return IsolatedBackend(cast("Any", prepared.algorithm), federation, prepared.task.precision, workers)
    config = prepared.worker_config(verify=False)  # this process has verified the data
    if cell.backend == "stacked":
        from benchmark.core.backends.stacked import StackedBackend

        return StackedBackend(config, cell.device, cell.graphs)
    if workers == 1:
        return SerialBackend(config)
    return ProcessPoolBackend(config, workers, lambda client: federation.who(client).size)


def _record(cell: Cell, prepared: Prepared, federation: Federation, **parts: Any) -> Record:
    task, method = prepared.task, method_files.method_sha256(prepared.path)
    data = {name: load(task.located(name), verify=False).fingerprints for name in datasets(task)}
    split = partition_table.fingerprint(federation.data.parts)
    return Record(
        schema=SCHEMA,
        protocol=task.protocol,
        engine=ENGINE,
        task=task.name,
        algorithm=prepared.path.stem,
        seed=prepared.seed,
        track=task.track,
        settings=prepared.settings,
        departures=cell.departures,
        hashes=Hashes(task=prepared.task_sha256, algorithm=method, data=data, split=split),
        backend=prepared.backend,
        precision=task.precision,
        rounds=task.rounds,
        **parts,
    )

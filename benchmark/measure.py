"""A prepared cell in a folder: the run itself, and the record of what came of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from benchmark import catalog, record
from benchmark.core.errors import Diverged
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.suite import datasets

if TYPE_CHECKING:
    from benchmark.cell import Cell, Prepared
    from benchmark.core.backends.worker import Backend
    from benchmark.core.federation import Federation

Observer = Callable[[dict[str, Any]], None]
Make = Callable[["Prepared", "Federation"], "Backend"]


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
    environment = record.environment(command=cell.command, workers=workers, seconds=seconds, device=cell.device)
    return made, {**environment, **facts}


def _execute(
    ready: Prepared, federation: Federation, folder: Path, make: Make, observer: Observer
) -> tuple[dict[str, Any], float, dict[str, Any]]:
    """The measured part of a record, seconds before an interruption, and what the backend says of how it worked."""
    from benchmark.beforehand import prepare
    from benchmark.core.engine import Run

    prepare(federation, ready.algorithm, catalog.method_sha256(ready.path))
    backend = make(ready, federation)
    try:
        run_ = Run(federation, ready.algorithm, backend, folder, ready.identity, observer)
        result = run_.execute()
        return {"status": "ok", "reason": "", "result": result, "judged": run_.judged}, run_.before, backend.facts
    except Diverged as error:
        made = {"status": "diverged", "reason": str(error), "result": None, "judged": run_.judged}
        return made, run_.before, backend.facts
    finally:
        backend.close()


def _backend(cell: Cell, workers: int, ready: Prepared, federation: Federation) -> Backend:
    from benchmark.core.backends import Pool, Serial

    if cell.audit:
        from benchmark.core.apart.backend import Rooms

        return Rooms(cast("Any", ready.algorithm), federation, ready.task.precision, workers)
    setting = ready.setting(verify=False)  # this process has verified the data
    if cell.backend == "stacked":
        from benchmark.core.backends.stacked import Stacked

        return Stacked(setting, cell.device, cell.graphs)
    if workers == 1:
        return Serial(setting)
    return Pool(setting, workers, lambda client: federation.who(client).size)


def _record(cell: Cell, ready: Prepared, federation: Federation, **parts: Any) -> record.Record:
    from benchmark.core.data.dataset import load
    from benchmark.core.data.partition import fingerprint

    data = {name: load(name, verify=False).fingerprints for name in datasets(ready.task)}
    split = fingerprint(federation.given.parts)
    method = catalog.method_sha256(ready.path)
    hashes = record.Hashes(task=ready.task_sha256, algorithm=method, data=data, split=split)
    return record.Record(
        schema=record.SCHEMA, protocol=PROTOCOL, engine=ENGINE, task=ready.task.name, algorithm=ready.path.stem,
        seed=ready.seed, track=ready.task.track, settings=ready.settings, departures=cell.departures, hashes=hashes,
        backend=ready.backend, precision=ready.task.precision, rounds=ready.task.rounds, **parts,
    )  # fmt: skip

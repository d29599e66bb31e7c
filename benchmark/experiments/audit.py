"""`fedrepro run --audit`: a cell whose method runs in sandboxed processes, compared with its plain record."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

from benchmark.core.errors import BenchmarkError
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import Observer, is_done, make_backend, measure
from benchmark.records import store
from benchmark.records.audit_mark import mark
from benchmark.records.compare import compare
from benchmark.records.record import Record

HINT = "what a method keeps or learns outside of its memories and messages is not there in an audit: correct the method"


def audit(cell: Cell, results: Path, *, workers: int = 1, observer: Observer = lambda event: None) -> Record:
    """Run a cell with server and clients in processes that share nothing but encoded messages.

    A record that is there must come out bit for bit, and is then marked as audited; else this run leaves one.

    Raises:
        BenchmarkError: The method reaches outside of its process, or comes to other results than its record.
    """
    from benchmark.core.client.federation import Federation

    prepared = cell.prepare()
    target = results / prepared.task.name / prepared.path.stem / f"{prepared.seed}.json"
    plain = store.read(target) if is_done(cell, prepared, target) else None
    federation = Federation.open(prepared.task, prepared.seed, prepared.algorithm)
    with tempfile.TemporaryDirectory() as folder, closing(make_backend(cell, workers, prepared, federation)) as backend:
        record, run = measure(cell, prepared, federation, backend, Path(folder), workers, observer)
    facts = {**run.pop("audit"), "result_sha256": record.result_sha256, "date": run["date"], "seconds": run["seconds"]}
    if plain is None:
        store.write(record, {**run, "audit": facts}, target)
        return record
    if difference := compare(plain, record).difference:
        where = ", ".join((record.algorithm, record.task, f"seed {record.seed}"))
        message = f"the audited run differs from the record: {difference}"
        raise BenchmarkError(message, where=where, hint=HINT, user=False)
    mark(target, facts)
    return plain

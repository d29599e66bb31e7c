"""`fedrepro run --audit`: a cell whose method runs in sandboxed processes, beside the record of its plain run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmark.core.errors import BenchmarkError
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import Observer, measure, same
from benchmark.records import store
from benchmark.records.audit_mark import mark
from benchmark.records.record import Record

HINT = "what a method keeps or learns outside of its memories and messages is not there in an audit: mend the method"


def audit(cell: Cell, results: Path, *, workers: int = 1, observer: Observer = lambda event: None) -> Record:
    """Run a cell with server and clients in processes that share nothing but encoded messages.

    A record that is there must be met to the bit, and is then marked as audited beside it; else this run leaves one.
    Raises BenchmarkError for a method that reaches outside, and for one that comes to other results than its record.
    """
    from benchmark.core.client.federation import Federation

    ready = cell.prepare()
    target = results / ready.task.name / ready.path.stem / f"{ready.seed}.json"
    plain = store.read(target) if target.exists() else None
    if plain:
        same(plain, ready, target)
    federation = Federation.open(ready.task, ready.seed, ready.algorithm)
    with tempfile.TemporaryDirectory() as folder:
        made, run = measure(cell, ready, federation, Path(folder), workers, observer)
    facts = {**run.pop("audit"), "result_sha256": made.result_sha256, "date": run["date"], "seconds": run["seconds"]}
    if plain is None:
        store.write(made, {**run, "audit": facts}, target)
        return made
    if (plain.status, plain.result_sha256) != (made.status, made.result_sha256):
        where = ", ".join((made.algorithm, made.task, f"seed {made.seed}"))
        message = f"the audited run differs from the record: {difference(plain, made)}"
        raise BenchmarkError(message, where=where, hint=HINT, user=False)
    mark(target, facts)
    return plain


def difference(plain: Record, made: Record) -> str:
    """The first thing in which two records of a cell differ."""
    if plain.status != made.status:
        return f"status {made.status} ({made.reason}) instead of {plain.status}"
    one, two = (dict(_walk(entry.model_dump(mode="json")["result"], "")) for entry in (plain, made))
    path = next(path for path in {**one, **two} if one.get(path) != two.get(path))
    return f"{path} is {two.get(path)}, in the record {one.get(path)}"


def _walk(node: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(node, dict):
        return [leaf for name in node for leaf in _walk(node[name], f"{path}.{name}" if path else name)]
    if isinstance(node, list):
        return [leaf for place, inner in enumerate(node) for leaf in _walk(inner, f"{path}[{place}]")]
    return [(path, node)]

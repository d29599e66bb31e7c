"""Runs a record's cell again and compares: bit for bit on a machine of the same kind, within a tolerance elsewhere."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

from benchmark.core.errors import BenchmarkError
from benchmark.experiments import run as running
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import Observer
from benchmark.records.compare import compare
from benchmark.records.environment import KIND, machine_kind
from benchmark.records.index import ResultsIndex
from benchmark.records.record import Record
from benchmark.records.tolerance import seed_difference

FLOOR = 0.05  # docs/protocol.md says where it comes from
MEASURE = "accuracy_last5"
SAME = "the same result bit for bit"


def choose(index: ResultsIndex, where: str) -> Record:
    """The valid record of TASK/METHOD/SEED; of TASK, TASK/METHOD or "" a random one among those that are meant."""
    named = [part for part in where.split("/") if part]
    records = [
        record
        for (task, method), seeds in sorted(index.records.items())
        for record in seeds.values()
        if [task, method, str(record.seed)][: len(named)] == named and not index.stale_reasons(record)
    ]
    if not records or len(named) > 3:
        raise BenchmarkError(f"no valid record {where}".rstrip(), hint="name TASK, TASK/METHOD or TASK/METHOD/SEED")
    return random.choice(records)


def cell(record: Record, results: Path) -> Cell:
    """The cell that a record came from, with its backend."""
    if record.backend == "loop":
        return Cell(record.task, record.algorithm, record.seed)
    how = json.loads((results / record.path).with_suffix(".run.json").read_bytes())
    device, graphs = how["environment"]["device"], bool(how["stacked"]["graphs"])
    return Cell(record.task, record.algorithm, record.seed, backend="stacked", device=device, graphs=graphs)


def rerun(record: Record, index: ResultsIndex, *, workers: int = 1, observer: Observer = lambda event: None) -> str:
    """Run a record's cell in a temporary folder; how the two compare, in a sentence.

    Raises:
        BenchmarkError: They differ by more than they may.
    """
    with tempfile.TemporaryDirectory() as folder:
        again = running.run(cell(record, index.results), Path(folder), workers=workers, observer=observer)
        return compare_again(record, again, index, Path(folder))


def compare_again(record: Record, again: Record, index: ResultsIndex, folder: Path) -> str:
    """How a record of another run of its cell, in a folder, compares with it, in a sentence; `SAME` for equal bits.

    Raises:
        BenchmarkError: They differ by more than they may.
    """
    here, there = machine_kind(folder / again.path) or {}, machine_kind(index.results / record.path) or {}
    other = [
        f"{name} {here.get(name)}, the record's {there.get(name)}" for name in KIND if here.get(name) != there.get(name)
    ]
    allowed = tolerance(index, record.task)
    comparison = compare(record, again, {MEASURE: allowed} if other else None)
    if not comparison.difference:
        return SAME
    if comparison.changes:
        where = f" ({'; '.join(other)})" if other else " on a machine of the same kind"
        raise BenchmarkError(
            f"differs from its record{where}: {'; '.join(comparison.changes)}",
            where=str(record.path),
            hint="`fedrepro campaign` runs it again once the record is deleted",
            user=False,
        )
    return (
        f"within {allowed * 100:.1f} points on a machine of another kind ({'; '.join(other)}): {comparison.difference}"
    )


def tolerance(index: ResultsIndex, task: str) -> float:
    """The largest allowed distance of the mean of the last five accuracies from a record of another kind of machine."""
    return max(FLOOR, seed_difference(index, task, MEASURE) or 0.0)

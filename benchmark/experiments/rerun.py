"""A cell run anew and compared with its record: bit for bit on a machine of the same kind, within a tolerance else."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmark.core.errors import BenchmarkError
from benchmark.experiments import run as running
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import Observer
from benchmark.records import tolerance as bands
from benchmark.records.index import ResultsIndex
from benchmark.records.record import Record

KIND = ("cpu", "instructions", "torch", "device", "system")  # what, besides the backend, decides how sums are rounded
FLOOR = 0.05  # docs/protocol.md says where it comes from


def choose(suite: ResultsIndex, where: str) -> Record:
    """The standing record of TASK/METHOD/SEED; of TASK, TASK/METHOD or "" a random one among those that are meant."""
    named = [part for part in where.split("/") if part]
    found = [
        made for (task, method), seeds in sorted(suite.records.items()) for made in seeds.values()
        if [task, method, str(made.seed)][: len(named)] == named and not suite.stale_reasons(made)
    ]  # fmt: skip
    if not found or len(named) > 3:
        raise BenchmarkError(f"no standing record {where}".rstrip(), hint="name TASK, TASK/METHOD or TASK/METHOD/SEED")
    return random.choice(found)


def cell(made: Record, results: Path) -> Cell:
    """The cell that a record came from, with its backend."""
    run = _run(results / made.path)
    if made.backend == "loop":
        return Cell(made.task, made.algorithm, made.seed)
    graphs = bool(run["stacked"]["graphs"])
    return Cell(made.task, made.algorithm, made.seed, backend="stacked", device=_kind(run)["device"], graphs=graphs)


def _run(path: Path) -> Any:
    return json.loads(path.with_suffix(".run.json").read_bytes())


def _kind(run: Mapping[str, Any]) -> dict[str, str]:
    return {name: run["environment"][name] for name in KIND}


def rerun(made: Record, suite: ResultsIndex, *, workers: int = 1, observer: Observer = lambda event: None) -> str:
    """Run a record's cell in a folder of its own; how the two compare, in a sentence.

    BenchmarkError if they differ by more than they may.
    """
    results = suite.results
    with tempfile.TemporaryDirectory() as folder:
        again = running.run(cell(made, results), Path(folder), workers=workers, observer=observer)
        here, there = _kind(_run(Path(folder) / again.path)), _kind(_run(results / made.path))
    if again.result_sha256 == made.result_sha256 and again.status == made.status:
        return "the same result bit for bit"
    other = [f"{name} {here[name]}, the record's {there[name]}" for name in KIND if here[name] != there[name]]
    differences = list(compare(made, again, allowed := tolerance(suite, made.task)))
    if not other or differences:
        where = f" ({'; '.join(other)})" if other else " on a machine of the same kind"
        raise BenchmarkError(
            f"differs from its record{where}: {'; '.join(differences) or _gap(made, again)}", where=str(made.path),
            hint="`fedrepro campaign` runs it anew once the record is deleted", user=False,
        )  # fmt: skip
    within = f"within {allowed * 100:.1f} points on a machine of another kind"
    return f"{within} ({'; '.join(other)}): {_gap(made, again)}"


def tolerance(suite: ResultsIndex, task: str) -> float:
    """How far the mean of the last five accuracies may lie from a record of another kind of machine."""
    return max(FLOOR, bands.half(suite, task, lambda result: result.accuracy_last5) or 0.0)


def compare(made: Record, again: Record, allowed: float) -> Iterable[str]:
    """In what two records of a cell differ by more than machines may: traffic may not, accuracy by what is allowed."""
    first, second = made.result, again.result
    if first is None or second is None:
        if made.status != again.status:
            yield f"status {again.status}, in the record {made.status}"
        return
    for way in ("up", "down", "up_wire", "down_wire"):
        if getattr(first.bytes, way) != getattr(second.bytes, way):
            yield f"{way} {getattr(second.bytes, way)} bytes, in the record {getattr(first.bytes, way)}"
    if abs(first.accuracy_last5 - second.accuracy_last5) > allowed:
        yield f"{_gap(made, again)}, more than {allowed * 100:.1f} points apart"


def _gap(made: Record, again: Record) -> str:
    if made.result is None or again.result is None:
        return again.reason
    first, second = made.result.accuracy_last5, again.result.accuracy_last5
    return f"mean of the last five accuracies {second:.2%}, in the record {first:.2%}"

"""Confirms a row: every record is re-run audited, and so are sealed seeds, by somebody who did not submit it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmark.core.errors import BenchmarkError
from benchmark.core.version import ENGINE
from benchmark.experiments.audit import audit
from benchmark.experiments.cell import Cell
from benchmark.experiments.rerun import SAME, compare_again
from benchmark.records.audit_mark import notes
from benchmark.records.confirmation import Confirmation, ConfirmedSeed, SealedRuns
from benchmark.records.environment import environment
from benchmark.records.index import ResultsIndex
from benchmark.records.record import Record
from benchmark.records.sealed import commitment, sealed_seeds
from benchmark.records.tolerance import seed_difference

Report = Callable[[str], None]
HINT = "a method that only does well on seeds that its author could try was fitted to them: read it"


def confirm(
    index: ResultsIndex,
    task: str,
    method: str,
    *,
    secret: bytes | None = None,
    sealed: int = 3,
    workers: int = 1,
    report: Report = lambda sentence: None,
) -> Confirmation:
    """Re-run a row in sandboxed processes.

    Args:
        index: The records, with the methods as their files are now.
        task: Name of the task.
        method: Name of the method.
        secret: What sealed seeds follow from; None leaves them out.
        sealed: Number of sealed seeds.
        workers: Processes at a time.
        report: Called after every run with how it ended, in a sentence.

    Returns:
        The confirmation, not signed yet.

    Raises:
        BenchmarkError: There is no such row, a record does not come out again, or sealed seeds fall short of the row's.
    """
    records = index.valid_records(task, method, "loop")
    if not records:
        message = f"{method} has no valid record of the loop on {task}"
        raise BenchmarkError(message, hint="`fedrepro board TASK` shows what there is")
    seeds = []
    facts: Mapping[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed, record in sorted(records.items()):
            again, facts = _audited(task, method, seed, Path(folder), workers)
            sentence = compare_again(record, again, index, Path(folder))
            report(f"seed {seed}: {sentence}")
            how: Any = "to the bit" if sentence == SAME else "within tolerance"
            seeds.append(ConfirmedSeed(seed=seed, result_sha256=record.result_sha256, how=how))
        runs = None
        if secret is not None:
            chosen = sealed_seeds(secret, index.tasks[task], sealed)
            made = []
            for number, seed in enumerate(chosen, 1):
                made.append(_audited(task, method, seed, Path(folder), workers)[0])
                report(f"sealed seed {number} of {sealed}: {made[-1].status}")
            runs = _compared(index, list(records.values()), made, commitment(secret))
    first, surroundings = next(iter(records.values())), environment(command="", workers=workers, seconds=0)
    return Confirmation(
        task=task,
        algorithm=method,
        task_sha256=first.hashes.task,
        algorithm_sha256=first.hashes.algorithm,
        engine=ENGINE,
        seeds=tuple(seeds),
        sealed=runs,
        environment=surroundings["environment"],
        date=surroundings["date"],
        not_enforced=list(facts.get("not_enforced", [])),
    )


def _audited(task: str, method: str, seed: int, folder: Path, workers: int) -> tuple[Record, Mapping[str, Any]]:
    """The record of an audited run, and what the audit tells of itself."""
    record = audit(Cell(task, method, seed, audit=True), folder, workers=workers)
    return record, notes(folder / record.path).get("audit", {})


def _compared(index: ResultsIndex, records: list[Record], sealed: list[Record], sealing: str) -> SealedRuns:
    """Sealed runs against the row's records."""
    task, method = records[0].task, records[0].algorithm
    if broken := [record for record in sealed if record.result is None]:
        message = f"{len(broken)} of {len(sealed)} sealed seeds ended {broken[0].status}"
        raise BenchmarkError(message, where=f"{method}, {task}", hint=HINT, user=False)
    here, there = (fmean(one.result.accuracy for one in group if one.result) for group in (sealed, records))
    # three standard deviations of a difference of two seeds, made one of means of several
    pair = seed_difference(index, task, "accuracy")
    if pair is None:
        raise BenchmarkError(f"no method has two seeds on {task}", hint="sealed runs need a spread to be compared with")
    allowed = pair * sqrt((1 / len(sealed) + 1 / len(records)) / 2)
    if here - there < -allowed:
        message = f"sealed seeds reach {here:.1%}, its records {there:.1%}, and {allowed * 100:.1f} points are allowed"
        raise BenchmarkError(message, where=f"{method}, {task}", hint=HINT, user=False)
    return SealedRuns(
        commitment=sealing,
        count=len(sealed),
        accuracy=round(here, 6),
        gap=round(here - there, 6),
        allowed=round(allowed, 6),
    )

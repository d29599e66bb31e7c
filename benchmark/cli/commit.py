"""`fedrepro commit`: tell DVC that the records are up to date."""

from __future__ import annotations

from benchmark.cli.options import RESULTS, ROOT
from benchmark.core.errors import BenchmarkError


def commit() -> None:
    """List every record as a cell of its task's pipeline and tell DVC that it is up to date."""
    from benchmark.pipeline import stages
    from benchmark.records.index import ResultsIndex

    index = ResultsIndex.load(RESULTS)
    fallen = [entry.path for entry in index.entries if entry.record is None or index.stale_reasons(entry.record)]
    if fallen:
        message = f"{len(fallen)} records are not valid, {fallen[0].relative_to(ROOT)} for one"
        raise BenchmarkError(message, hint="`fedrepro verify` names them all and what to do", user=False)
    stages.commit(ROOT)
    print("DVC holds the records as they are; `dvc repro` rebuilds the tables")

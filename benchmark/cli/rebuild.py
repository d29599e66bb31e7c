"""`fedrepro rebuild`: write everything that follows from tasks, methods and records."""

from __future__ import annotations

from benchmark.cli.options import RESULTS, ROOT
from benchmark.core.errors import BenchmarkError


def rebuild() -> None:
    """Write tables, boards, pictures and pipeline files anew from tasks, methods and records.

    Trains nothing. After a merge of submissions it resolves what conflicts in these files.
    """
    from benchmark.pipeline import stages
    from benchmark.records.index import index_with_live_methods

    index = index_with_live_methods(RESULTS)
    stale = [entry.path for entry in index.entries if entry.record is None or index.stale_reasons(entry.record)]
    if stale:
        message = f"{len(stale)} records are not valid, {stale[0].relative_to(ROOT)} for one"
        raise BenchmarkError(message, hint="`fedrepro verify` names them all and what to do", user=False)
    stages.rebuild(ROOT)
    print("tables, boards and pipeline files are what the records give")

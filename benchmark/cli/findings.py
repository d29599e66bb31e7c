"""`fedrepro findings`: the numbers of docs/findings.md."""

from __future__ import annotations

from benchmark.cli.options import RESULTS, ROOT


def findings() -> None:
    """Write the numbers of docs/findings.md again from the records. The sentences stay; check that they still hold."""
    from benchmark.core.storage.atomic_files import write_atomic
    from benchmark.records.index import ResultsIndex
    from benchmark.reports.findings import PAGE, fill

    before = (ROOT / PAGE).read_text(encoding="utf-8")
    write_atomic(ROOT / PAGE, after := fill(before, ResultsIndex.load(RESULTS)))
    print("every number was up to date" if after == before else f"{PAGE} has new numbers: read whether its words hold")

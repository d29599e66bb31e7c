"""`fedrepro doctor`: what this machine has."""

from __future__ import annotations

from benchmark.cli.options import Json, cores, show


def doctor(as_json: Json = False) -> None:
    """Show what this machine has, how long the quick suite takes, and what to do about what is missing."""
    from benchmark.cli.diagnostics import examine

    findings = examine(cores())
    if as_json:
        show([finding._asdict() for finding in findings], as_json)
        return
    wide = max(len(finding.what) for finding in findings)
    for what, found, remedy in findings:
        print(f"{'!' if remedy else ' '} {what:{wide}}  {found}" + (f"; to get it: {remedy}" if remedy else ""))

"""The command for whoever writes a method: does it keep the rules of the interface?"""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import typer

from benchmark.cli.options import Json, show


def check(
    method: Annotated[str, typer.Argument(help="Name of a method, or a .py file of your own.", metavar="METHOD")],
    as_json: Json = False,
) -> None:
    """Try a method on noise for some seconds; every fault is one line that says where and what to do.

    Imports, messages, purity, state, files and network, budget, randomness, order of clients, resuming, the stacked
    backend, and server and clients apart.
    """
    from benchmark.core.isolation import forkserver

    forkserver.context()  # first, since it imports as long as the line below does
    from benchmark.submission.check import check as examine

    findings = examine(method)
    if as_json:
        show([dataclasses.asdict(finding) for finding in findings], as_json)
    else:
        show([{"check": f.check, "track": f.track, "verdict": f.verdict, "note": f.note} for f in findings], as_json)
    faults = list(dict.fromkeys(fault for finding in findings for fault in finding.faults))
    for fault in faults:
        print(f"fedrepro: {fault}", file=sys.stderr)
    if faults:
        raise typer.Exit(2)

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
    """Check a method against the rules of the interface, on random data; every fault is one line.

    Imports, messages, inputs, budget, files, randomness, order of clients, resuming, the stacked backend, and server
    and clients in processes of their own.
    """
    from benchmark.core.isolation import forkserver

    forkserver.context()  # first, since it imports as long as the line below does
    from benchmark.submission.check import check as check_method

    results = check_method(method)
    if as_json:
        show([dataclasses.asdict(result) for result in results], as_json)
    else:
        show([{"check": r.check, "track": r.track, "status": r.status, "note": r.note} for r in results], as_json)
    faults = list(dict.fromkeys(fault for result in results for fault in result.faults))
    for fault in faults:
        print(f"fedrepro: {fault}", file=sys.stderr)
    if faults:
        raise typer.Exit(2)

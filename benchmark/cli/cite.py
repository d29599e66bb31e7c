"""`fedrepro cite`: the paper of a method."""

from __future__ import annotations

from typing import Annotated

import typer


def cite(method: Annotated[str, typer.Argument(help="Name of a method.", metavar="METHOD")]) -> None:
    """Print the paper of a method as BibTeX."""
    from benchmark.submission.scaffold import cite as entry

    print(entry(method))

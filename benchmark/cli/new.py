"""`fedrepro new`: a method to begin with."""

from __future__ import annotations

from typing import Annotated

import typer


def new(name: Annotated[str, typer.Argument(help="Name of the method: that of its file.", metavar="NAME")]) -> None:
    """Write a commented method of thirty lines and its test, to begin with."""
    from benchmark.submission.scaffold import new as write

    method, test = write(name)
    print(f"{method}: change what it does, then `fedrepro check {name}`")
    print(f"{test}: say what must hold, then `pytest {test}`")

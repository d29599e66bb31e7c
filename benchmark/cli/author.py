"""Commands for whoever writes a method, or cites one."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(new)
    app.command()(cite)


def new(name: Annotated[str, typer.Argument(help="Name of the method: that of its file.", metavar="NAME")]) -> None:
    """Write a commented method of thirty lines and its test, to begin with."""
    from benchmark.submission.scaffold import new as write

    method, test = write(name)
    print(f"{method}: change what it does, then `fedrepro check {name}`")
    print(f"{test}: say what must hold, then `pytest {test}`")


def cite(method: Annotated[str, typer.Argument(help="Name of a method.", metavar="METHOD")]) -> None:
    """Print the paper of a method as BibTeX."""
    from benchmark.submission.scaffold import cite as entry

    print(entry(method))

"""`fedrepro split`: how a task's data are split."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from benchmark.cli.options import Json, show


def split(
    task: Annotated[str, typer.Argument(help="Name of a task, or a .yaml file of your own.")],
    seed: Annotated[int, typer.Option(min=0)] = 0, as_json: Json = False,
) -> None:  # fmt: skip
    """Show how many samples of each class every client of a task has."""
    from benchmark.core.client.federation_data import split_tables
    from benchmark.core.tasks import task as tasks

    chosen = tasks.load(task).model_copy(update={"seeds": (seed,)})
    table = split_tables(chosen)[str(seed)]
    if as_json:
        print(json.dumps(table))
        return
    rows = [{"client": one["client"], "size": one["size"], **dict(zip(table["classes"], one["counts"], strict=True))}
            for one in table["clients"]]  # fmt: skip
    show(rows, as_json=False)
    print(f"{table['rows']} samples, sha256 {table['sha256']}")

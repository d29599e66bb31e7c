"""Commands on records: the board, the papers' claims, and whether everything still fits together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.options import RESULTS, Json, Results, names, show

if TYPE_CHECKING:
    from benchmark.records.index import ResultsIndex
    from benchmark.reports.columns import Column


def board(
    tasks: Annotated[str, typer.Option(metavar="A,B", help="Only these tasks; also .yaml files of your own.")] = "",
    results: Results = RESULTS, as_json: Json = False,
) -> None:  # fmt: skip
    """Print the board of every task from the records. `dvc repro` writes the same rows into docs/boards/."""
    from benchmark.core.tasks import task as task_files
    from benchmark.core.tasks.yaml_file import is_yaml
    from benchmark.records.index import load_index

    own = {name: task_files.load(name) for name in tasks.split(",") if is_yaml(name)}
    index = load_index(results, own.values())
    listed = ",".join(own[name].name if name in own else name for name in tasks.split(","))
    show_board(index, names(listed, index.tasks, "task"), as_json)


def show_board(index: ResultsIndex, tasks: list[str], as_json: bool = False) -> None:
    """Print the boards of these tasks, by default of all that have records."""
    from benchmark.analysis.tables import tables
    from benchmark.reports import columns

    frames = {name: frame for name, frame in tables(index).items() if not tasks or name in tasks}
    rows = {name: json.loads(frame.to_json(orient="records")) for name, frame in frames.items()}
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for name, lines in rows.items():
        task = index.tasks[name]
        print(f"\n{name} ({task.track}, {task.rounds} rounds)")
        _show(columns.at("terminal", columns.board(task.targets)), lines)
    if not rows:
        print(f"no records in {index.results}: `fedrepro bench` makes some")


def _show(heads: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> None:
    show([{column.title: column.text(row) for column in heads} for row in rows], as_json=False)


def claims(
    open_: Annotated[bool, typer.Option("--open", help="Only those without a verdict.")] = False,
    results: Results = RESULTS, as_json: Json = False,
) -> None:  # fmt: skip
    """Print the papers' claims, what was measured and the verdict; for open ones the cells that they wait for."""
    from benchmark.analysis import claim_verdicts
    from benchmark.analysis import claims as claims_
    from benchmark.records.index import load_index
    from benchmark.reports import columns

    verdicts = claim_verdicts.evaluate(load_index(results), claims_.load(results / "claims.yaml"))
    rows = [verdict.model_dump(mode="json") for verdict in verdicts if verdict.verdict == "not measured" or not open_]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    _show(columns.at("terminal", columns.CLAIMS), rows)
    count = Counter(verdict.verdict for verdict in verdicts)
    print(f"{len(verdicts)} claims" + "".join(f", {number} {verdict}" for verdict, number in sorted(count.items())))

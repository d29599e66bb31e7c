"""Commands on records: the board, the papers' claims, and whether everything still fits together."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.options import RESULTS, Json, Results, names, show

if TYPE_CHECKING:
    from benchmark.analysis.claim_verdicts import Finding
    from benchmark.records.index import ResultsIndex


def board(
    tasks: Annotated[str, typer.Option(metavar="A,B", help="Only these tasks.")] = "",
    results: Results = RESULTS, as_json: Json = False,
) -> None:  # fmt: skip
    """Print a table per task from the records. `dvc repro` writes the same rows into LEADERBOARD.md."""
    from benchmark.records.index import load_index

    index = load_index(results)
    show_board(index, names(tasks, index.tasks, "task"), as_json)


def show_board(index: ResultsIndex, tasks: list[str], as_json: bool = False) -> None:
    """Tables of these tasks, default all that have records."""
    from benchmark.analysis.tables import tables

    made = {name: frame for name, frame in tables(index).items() if not tasks or name in tasks}
    rows = {name: json.loads(frame.to_json(orient="records")) for name, frame in made.items()}
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for name, lines in rows.items():
        print(f"\n{name} ({index.tasks[name].track}, {index.tasks[name].rounds} rounds)")
        show([_short(line) for line in lines], as_json=False)
    if not rows:
        print(f"no records in {index.results}: `fedrepro bench` makes some")


def _short(row: dict[str, Any]) -> dict[str, str]:
    """The columns that fit on a terminal."""
    return {
        "method": row["method"],
        "accuracy %": _spread(row, "accuracy", 1),
        "forgetting %": _spread(row, "forgetting", 1),
        "MB up": _spread(row, "mb_up", 2),
        "MB down": _spread(row, "mb_down", 2),
        "to fedavg": _spread(row, "difference", 1),
        "p": "" if row["p"] is None else f"{row['p']:.3f}",
        "settings": row["settings"],
        "n": str(row["seeds"]),
        "remarks": row["marks"],
    }


def _spread(row: dict[str, Any], name: str, digits: int) -> str:
    value, half = row[name], row.get(f"{name}_interval")
    if value is None:
        return ""
    return f"{value:.{digits}f}" + (f" ± {half:.{digits}f}" if half else "")


def claims(
    open_: Annotated[bool, typer.Option("--open", help="Only those without a verdict.")] = False,
    results: Results = RESULTS, as_json: Json = False,
) -> None:  # fmt: skip
    """Print the papers' claims, what was measured and the verdict; for open ones the cells that they wait for."""
    from benchmark.analysis import claim_verdicts
    from benchmark.analysis import claims as claims_
    from benchmark.records.index import load_index

    found = claim_verdicts.evaluate(load_index(results), claims_.load(results / "claims.yaml"))
    shown = [finding for finding in found if finding.verdict == "not measured" or not open_]
    if as_json:
        print(json.dumps([finding.model_dump(mode="json") for finding in shown], indent=1))
        return
    show([_claim_row(finding) for finding in shown], as_json=False)
    count = Counter(finding.verdict for finding in found)
    print(f"{len(found)} claims" + "".join(f", {number} {verdict}" for verdict, number in sorted(count.items())))


def _claim_row(finding: Finding) -> dict[str, str]:
    waits = f"waits for {'; '.join(finding.waits)}" if finding.verdict == "not measured" else ""
    return {
        "id": finding.id, "statement": finding.statement, "claimed": finding.claimed,
        "measured": finding.measured or waits, "verdict": finding.verdict,
        "in direction elsewhere": "; ".join(finding.elsewhere),
    }  # fmt: skip

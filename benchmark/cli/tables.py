"""Commands on records: the board, the papers' claims, and whether everything still fits together."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark.cli.options import RESULTS, ROOT, Json, Results, Workers, cores, names, show
from benchmark.core.errors import BenchmarkError

if TYPE_CHECKING:
    from benchmark.analysis.claim_verdicts import Finding
    from benchmark.records.index import ResultsIndex


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (board, claims, findings, verify, commit, split):
        app.command()(command)


def board(
    tasks: Annotated[str, typer.Option(metavar="A,B", help="Only these tasks.")] = "",
    results: Results = RESULTS, as_json: Json = False,
) -> None:  # fmt: skip
    """Print a table per task from the records. `dvc repro` writes the same rows into LEADERBOARD.md."""
    from benchmark.records.index import load_index

    suite = load_index(results)
    show_board(suite, names(tasks, suite.tasks, "task"), as_json)


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


def findings() -> None:
    """Write the numbers of docs/findings.md anew from the records. The words stay: read whether they still hold."""
    from benchmark.core.storage.atomic_files import write_atomic
    from benchmark.records.index import ResultsIndex
    from benchmark.reports.findings import PAGE, fill

    before = (ROOT / PAGE).read_text()
    write_atomic(ROOT / PAGE, after := fill(before, ResultsIndex.load(RESULTS)))
    print("every number was up to date" if after == before else f"{PAGE} has new numbers: read whether its words hold")


def verify(
    cell: Annotated[str, typer.Argument(metavar="[TASK[/METHOD[/SEED]]]", help="With --rerun: which record.")] = "",
    rerun: Annotated[bool, typer.Option("--rerun", help="Run one cell anew and compare it, by default any.")] = False,
    workers: Workers = None,
) -> None:
    """Check that every number traces to a record, and every record to what it rests on.

    Trains nothing, but for --rerun, which tries one record instead: it must come out bit for bit on a machine of its
    own kind, and within the tolerance of docs/protocol.md on another.
    """
    from benchmark.pipeline.verify import verify as findings

    if rerun:
        _rerun(cell, workers or cores())
        return
    if cell:
        raise BenchmarkError(f"{cell} is only looked at when it is run", hint="add --rerun")
    found = findings(ROOT)
    for sentence in found:
        print(sentence)
    if found:
        raise BenchmarkError(f"{len(found)} findings", hint="each line says what to do", user=False)
    print("every table, record and fingerprint fits")


def _rerun(where: str, workers: int) -> None:
    from benchmark.experiments import rerun
    from benchmark.experiments.cost_model import expected, measured
    from benchmark.experiments.progress import label, spell, watch
    from benchmark.records.index import index_with_live_methods

    suite = index_with_live_methods(RESULTS)
    made = rerun.choose(suite, where)
    one = rerun.cell(made, RESULTS)
    cost = expected((made.task, made.algorithm), measured(RESULTS), {})
    print(f"{label(one)} anew, about {spell(cost / workers)}")
    with watch({label(one): 1.0}) as view:
        view.begin(one)
        print(rerun.rerun(made, suite, workers=workers, observer=lambda event: view.round(one, event)))


def commit() -> None:
    """List every record as a cell of its task's pipeline and tell DVC that it is up to date."""
    from benchmark.pipeline import stages
    from benchmark.records.index import ResultsIndex

    suite = ResultsIndex.load(RESULTS)
    fallen = [entry.path for entry in suite.entries if entry.record is None or suite.stale_reasons(entry.record)]
    if fallen:
        message = f"{len(fallen)} records do not stand, {fallen[0].relative_to(ROOT)} for one"
        raise BenchmarkError(message, hint="`fedrepro verify` names them all and what to do", user=False)
    stages.commit(ROOT)
    print("DVC holds the records as they are; `dvc repro` rebuilds the tables")


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

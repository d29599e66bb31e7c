"""Records become tables: results/tables/<task>.csv and LEADERBOARD.md, byte for byte the same from the same records."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from benchmark.analysis import claim_verdicts, claims, curves
from benchmark.analysis.tables import csv, in_order, table, tables
from benchmark.core.data.manifest import without_fingerprint
from benchmark.core.storage.atomic_files import remove_leftovers, write_atomic
from benchmark.core.storage.checksummed_json import canonical_json
from benchmark.core.tasks.requirements import datasets
from benchmark.core.tasks.task import TRACKS, Task
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.records.index import SEEDS, ResultsIndex

if TYPE_CHECKING:
    from pandas import DataFrame

PICTURED = 2  # comparable rows
MADE = ("tables", "metrics", "curves")  # folders of results/ that hold nothing else
METRICS = ("accuracy", "last5", "forgetting", "mb_up", "mb_down", "seeds")
HEADERS = {
    "accuracy": "Accuracy %", "last5": "Last five %", "forgetting": "Forgetting F %", "in_local": "In-local %",
    "out_local": "Out-local %", "mb_up": "MB up", "mb_down": "MB down",
}  # fmt: skip
INTRODUCTION = f"""Written by `dvc repro` from results/; do not edit.

Mean ± half the 95 % t interval over seeds, at least {SEEDS}. Accuracy is of the final models, never of the best round;
*last five* is the mean of the last five evaluations. F is the mean over classes of the best accuracy before the end
minus the final one. MB (1e6 bytes) are measured payload of all clients over the whole run. Rounds and MB to a target
count until an evaluation first exceeds it. Δ is the difference to FedAvg in points of accuracy over the same seeds, p
its paired t test; models that are judged differently are not compared. Settings: *tuned* on validation data by
`fedrepro tune`, *set by the task*, or the method's *defaults*."""
AUDITED = """*Audited*: with server and clients in sandboxed processes that share nothing but encoded messages, these
seeds came to the same bits and bytes (`fedrepro run --audit`)."""


def write_table(results: Path, task: str) -> None:
    """Write results/tables/<task>.csv."""
    suite = ResultsIndex.load(results, task)
    write_atomic(results / "tables" / f"{task}.csv", csv(table(suite, suite.tasks[task])))


def write(results: Path) -> Path:
    """Write all tables, metrics and curves, and LEADERBOARD.md beside the results; those without records go."""
    made = files(ResultsIndex.load(results))
    for name in MADE:
        (results / name).mkdir(exist_ok=True)
    for folder in sorted({path.parent for path in made}):
        remove_leftovers(folder)
    for path, text in made.items():
        write_atomic(path, text)
    for path in without_records(results, made):
        path.unlink()
    return results.parent / "LEADERBOARD.md"


def files(suite: ResultsIndex) -> dict[Path, str]:
    """Every file of the board with its content."""
    made = tables(suite)
    found = {suite.results / "tables" / f"{name}.csv": csv(frame) for name, frame in made.items()}
    found |= metrics(suite.results, made) | learning(suite, made)
    return found | {suite.results.parent / "LEADERBOARD.md": leaderboard(suite, made)}


def metrics(results: Path, made: dict[str, DataFrame]) -> dict[Path, str]:
    """results/metrics/<task>/<method>.json of every method with results: what `dvc metrics` shows and compares."""
    return {
        results / "metrics" / task / f"{row['method']}.json": canonical_json({name: row[name] for name in METRICS})
        for task, frame in made.items() for row in reversed(frame.dropna(subset=["accuracy"]).to_dict(orient="records"))
    }  # fmt: skip


def learning(suite: ResultsIndex, made: dict[str, DataFrame]) -> dict[Path, str]:
    """results/curves/<task>.csv: accuracy and forgetting over rounds, what `dvc plots` draws."""
    drawn = {task: curves.frame(suite, task, list(dict.fromkeys(table["method"]))) for task, table in made.items()}
    return {suite.results / "curves" / f"{task}.csv": csv(frame) for task, frame in drawn.items() if len(frame)}


def without_records(results: Path, made: Container[Path]) -> list[Path]:
    """Files of the board on disk that no records give."""
    return sorted(path for folder in MADE for path in (results / folder).rglob("*.*") if path not in made)


def leaderboard(suite: ResultsIndex, made: dict[str, DataFrame]) -> str:
    """LEADERBOARD.md: an overview per track, a table per task, the papers' claims."""
    sources = claims.load(suite.results / "claims.yaml")
    parts = [f"# Leaderboard\n\n{_introduction(suite, made)}"]
    for track in TRACKS:
        ordered = [task for task in in_order(suite) if task.track == track]
        if ordered:
            parts.append(f"## {track.capitalize()} track")
            parts += _overview(suite, ordered, made)
            parts += [_section(suite, task, made.get(task.name), sources) for task in ordered]
    parts += _claims(suite, sources)
    return "\n\n".join([*parts, *_outcasts(suite)]) + "\n"


def outcasts(suite: ResultsIndex) -> dict[str, str]:
    """Files that have no place in any table, with the reason: nothing is dropped in silence."""
    return {
        entry.path.relative_to(suite.results).as_posix(): entry.reason or "its task is gone"
        for entry in suite.entries if entry.record is None or entry.record.task not in suite.tasks
    }  # fmt: skip


def _outcasts(suite: ResultsIndex) -> list[str]:
    lines = [f"- `{path}`: {_cell(why)}" for path, why in outcasts(suite).items()]
    return ["## Records without a table", "\n".join(lines)] if lines else []


def _introduction(suite: ResultsIndex, made: dict[str, DataFrame]) -> str:
    number = sum(map(len, suite.records.values()))
    note = f"\n\n{AUDITED}" if any("audited" in frame for frame in made.values()) else ""
    return f"Protocol {PROTOCOL}, engine {ENGINE}; {number} records. {INTRODUCTION}{note}"


def _overview(suite: ResultsIndex, ordered: Sequence[Task], made: dict[str, DataFrame]) -> list[str]:
    """One line per method: accuracy on every task of the track outside the papers' own."""
    shown = [task for task in ordered if task.tier != "paper" and task.name in made]
    rows = []
    for method in sorted({name for task in shown for name in made[task.name]["method"]}):
        rows.append([method, *(_overview_cell(suite, task, method, made[task.name]) for task in shown)])
    if not rows:
        return []
    return [_markdown(["Method", *(task.name for task in shown)], rows)]


def _overview_cell(suite: ResultsIndex, task: Task, method: str, frame: DataFrame) -> str:
    rows = frame[(frame["method"] == method) & frame["comparable"]]
    if len(rows):
        return spread_text(rows.iloc[0], "accuracy")
    if method in suite.methods and suite.why_not_applicable(task.name, method):
        return "not applicable"
    made = suite.records.get((task.name, method), {}).values()
    broken = sum(one.status != "ok" and not suite.stale_reasons(one) for one in made)
    if broken and not suite.missing(task.name, [method]):
        return f"diverged ({broken} of {len(task.seeds)} seeds)"
    return f"open ({len(suite.valid_records(task.name, method))} of {SEEDS} seeds)"


def _section(suite: ResultsIndex, task: Task, frame: DataFrame | None, sources: list[claims.Source]) -> str:
    parts = [f"### {task.name}", *([task.note] if task.note else []), facts_text(task)]
    if frame is not None:
        parts += [f"![Accuracy against MB, and over rounds](docs/pictures/{task.name}.svg)"] if shown(frame) else []
        ranked, apart = frame[frame["comparable"]], frame[~frame["comparable"]]
        parts += [_rows(task, ranked, [])] if len(ranked) else []
        parts += ["Not comparable:", _rows(task, apart, ["marks"])] if len(apart) else []
    return "\n\n".join([*parts, *rest(suite, task, sources)])


def shown(frame: DataFrame) -> bool:
    """Whether a table has enough comparable rows for a picture of it to say something."""
    return int(frame["comparable"].sum()) >= PICTURED


def facts_text(task: Task) -> str:
    """A task in a line."""
    facts = f"{task.tier}; {task.dataset}, {task.split.kind}; {task.clients} clients, {task.cohort} per round, "
    missing = "".join(f" Data not at hand: {name}." for name in without_fingerprint(datasets(task)))
    return f"{facts}{task.rounds} rounds; {', '.join(task.networks)}; {task.precision}.{missing}"


def rest(suite: ResultsIndex, task: Task, sources: list[claims.Source]) -> list[str]:
    """Cells that are open, and methods that do not apply with their reasons."""
    wanted = sorted(claims.methods_on(sources, task.name)) if task.tier == "paper" else sorted(suite.methods)
    cells = suite.missing(task.name, wanted)
    lines = [f"{method} ({', '.join(map(str, seeds))})" for method, seeds in cells.items()]
    lines += [f"{method} (no such method yet)" for method in wanted if method not in suite.methods]
    reasons: dict[str, list[str]] = {}
    for method in wanted:
        if method in suite.methods and (reason := suite.why_not_applicable(task.name, method)):
            reasons.setdefault(reason, []).append(method)
    found = [f"Open (seeds): {', '.join(lines)}."] if lines else []
    return found + [f"Not applicable: {', '.join(methods)} ({reason})." for reason, methods in reasons.items()]


def _rows(task: Task, frame: DataFrame, extra: list[str]) -> str:
    goals = [f"{target * 100:g}" for target in task.targets]
    headers = ["Method", *HEADERS.values(), *(f"To {goal} %: rounds, MB" for goal in goals)]
    rows = []
    for _, row in frame.iterrows():
        spread = [spread_text(row, name) for name in HEADERS]
        p = "" if _empty(row["p"]) else "<0.0001" if row["p"] < 1e-4 else f"{row['p']:.4f}"
        rows.append([row["method"], *spread, *(goal_text(row, goal) for goal in goals),
                     spread_text(row, "difference"), p, row["judged"], row["settings"], seeds_text(row),
                     *(_cell(row[name]) for name in extra)])  # fmt: skip
    return _markdown([*headers, "Δ", "p", "Judged", "Settings", "n", *(name.capitalize() for name in extra)], rows)


def spread_text(row: Any, name: str) -> str:
    """A column of a row with its interval; "" where there is no number."""
    if _empty(row[name]):
        return ""
    half, sign = row[f"{name}_interval"], "+" if name == "difference" else ""
    exact = _empty(half) or (half == 0 and name in ("mb_up", "mb_down"))
    return f"{row[name]:{sign}.2f}" + ("" if exact else f" ± {half:.2f}")


def goal_text(row: Any, goal: str) -> str:
    """Rounds and MB to a target, or how many seeds reached it."""
    if _empty(row[f"rounds_to_{goal}"]):
        return f"{row[f'reached_{goal}']} of {row['seeds']} seeds"
    return f"{row[f'rounds_to_{goal}']:.1f}, {row[f'mb_to_{goal}']:.2f}"


def seeds_text(row: Any) -> str:
    """How many seeds, and how many of them an audit came to as well."""
    seeds, audits = row["seeds"], row.get("audited", 0)
    return f"{seeds}, {'' if audits == seeds else f'{audits} '}audited" if audits else str(seeds)


def _empty(value: Any) -> bool:
    return value is None or value != value


def _cell(text: str) -> str:
    """Text that stays in one cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def _claims(suite: ResultsIndex, sources: list[claims.Source]) -> list[str]:
    """Claims with a verdict as a table, those seen elsewhere alone as another; the others by paper and table."""
    findings = claim_verdicts.evaluate(suite, sources)
    if not findings:
        return []
    count = {verdict: [f for f in findings if f.verdict == verdict] for verdict in claim_verdicts.VERDICTS}
    parts = ["## Claims", ", ".join(f"{len(found)} {verdict}" for verdict, found in count.items()) + "."]
    judged = [finding for finding in findings if finding.verdict != "not measured"]
    remarks = [finding for finding in count["not measured"] if finding.elsewhere]
    if judged:
        parts += ["At the paper's own setting:", _findings(judged, ["Measured", "Verdict"])]
    if remarks:
        parts += ["Not measured at the paper's own setting; in direction, on other tasks:", _findings(remarks, [])]
    if notes := _notes(sources, {finding.id for finding in (*judged, *remarks)}):
        parts += ["Of these claims:", "\n".join(notes)]
    waiting: dict[str, int] = {}
    for finding in count["not measured"]:
        where = f"{finding.paper}, {finding.table}"
        waiting[where] = waiting.get(where, 0) + 1
    if waiting:
        listed = "; ".join(f"{where} ({number})" for where, number in waiting.items())
        parts.append(f"Not measured (`fedrepro claims` says what each waits for): {listed}.")
    return parts


def _notes(sources: list[claims.Source], shown: set[str]) -> list[str]:
    """What to know about the claims with these ids, and about where they stand."""
    lines = []
    for source in sources:
        ours = [claim for claim in source.claims if claim.id in shown]
        lines += [f"- {source.paper}, {source.table}: {source.note}."] if ours and source.note else []
        lines += [f"- `{claim.id}`: {claim.note}." for claim in ours if claim.note]
    return lines


def _findings(findings: Sequence[claim_verdicts.Finding], extra: list[str]) -> str:
    rows = [
        [f.id, f.paper, f.table, f.statement, f"{f.claimed} ({f.provenance})",
         *([f.measured, f.verdict] if extra else []), "; ".join(f.elsewhere)]
        for f in findings
    ]  # fmt: skip
    headers = ["Id", "Paper", "Where", "Statement", "Claimed", *extra, "In direction elsewhere"]
    return _markdown(headers, [[_cell(text) for text in row] for row in rows])

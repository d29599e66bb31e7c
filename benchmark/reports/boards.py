"""docs/boards/<task>.md: the board of one task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.analysis import claims, power
from benchmark.analysis.claims import Source
from benchmark.analysis.controls import CONTROLS
from benchmark.analysis.power import Power
from benchmark.core.data.manifest import without_fingerprint
from benchmark.core.tasks.requirements import datasets
from benchmark.core.tasks.task import Task
from benchmark.records.index import SEEDS, ResultsIndex
from benchmark.reports import columns, markdown

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN = "final"  # the estimator whose numbers the column of accuracies shows
PICTURED = 2  # comparable rows that make a picture worth drawing
LEGEND = f"""± is half the 95 % t interval over seeds; a row needs at least {SEEDS} to be comparable. Accuracy is
that of the final models. Methods with a common letter in Group are not told apart: a paired t test over the same
seeds, its variance shrunk over the board, corrected over all pairs by Holm's method. Δ FedAvg is the difference
over the same seeds, p its test, corrected over all rows with one. Controls are not compared, nor are models that are
judged differently. Forgetting is the mean over classes of the best accuracy before the end minus
the final one. Sent is measured payload, all clients, whole run; MB are 1e6 bytes. Rounds count until an
evaluation first exceeds the target. [Power](../power.md) explains the line on resolution, [metrics](../metrics.md)
every column."""
AUDITED = """Audited seeds were repeated with server and clients in sandboxed processes that share nothing but
encoded messages, and came to the same bits and bytes (`fedrepro run --audit`)."""

CONFIRMED = """Confirmed seeds were re-run in sandboxed processes by a maintainer, who signed that they came out, on
sealed seeds too where the confirmation says so (`fedrepro confirm`); an unconfirmed row is the word of its makers."""


def page(index: ResultsIndex, task: Task, table: DataFrame, sources: Sequence[Source]) -> str:
    """The Markdown of a task's board."""
    heads = columns.board(task.targets)
    parts = [f"# {task.name}", *([task.note] if task.note else []), setting(task)]
    if has_picture(table):
        parts.append(f"![Accuracy against MB, and over rounds](../pictures/{task.name}.svg)")
    rows = columns.table_rows(table)
    comparable, apart = ([row for row in rows if row["comparable"] == wanted] for wanted in (True, False))
    if comparable:
        parts.append(markdown.table(columns.at("page", heads), comparable, {"method": _method}))
    parts += [clients_judged(comparable), resolution(power.of_board(index, task))]
    if apart:
        parts += ["## Not comparable", markdown.table(columns.at("apart", heads), apart)]
    parts += remaining(index, task, sources)
    parts += [f"Every column: `results/tables/{task.name}.csv`.", LEGEND]
    parts += [text for name, text in (("audited", AUDITED), ("confirmed", CONFIRMED)) if name in table]
    return "\n\n".join(part for part in parts if part) + "\n"


def _method(row: columns.Row, text: str) -> str:
    return f"*{text}* (control)" if row["method"] in CONTROLS else text


def resolution(found: Power | None) -> str:
    """What a board can tell apart by the accuracy that it shows, in a sentence or two."""
    best = next((one for one in found.resolutions if one.estimator == SHOWN), None) if found else None
    if found is None or best is None or best.detectable is None:
        return ""
    needed = f"; {power.GOAL:g} points would take {best.seeds_needed} seeds" if best.seeds_needed else ""
    return (
        f"Resolution: with {found.seeds} seeds a true difference of {best.detectable:.1f} points between two methods "
        f"is found with 80 % probability{needed}. Of {best.pairs} pairs of methods {best.apart} are told apart."
    )


def has_picture(table: DataFrame) -> bool:
    """Whether a table has enough comparable rows for a picture of it to say something."""
    return int(table["comparable"].sum()) >= PICTURED


def clients_judged(rows: Sequence[columns.Row]) -> str:
    """Which rows are of methods without a common model, "" if all or none are."""
    clients = sorted(row["method"] for row in rows if row["judged"] == "clients")
    if len(clients) in (0, len(rows)):
        return ""
    return f"Judged by their clients' models, not by a common one: {', '.join(clients)}."


def setting(task: Task) -> str:
    """A task in a line."""
    facts = f"{task.tier}; {task.dataset}, {task.split.kind}; {task.clients} clients, {task.cohort} per round, "
    missing = "".join(f" Data not at hand: {name}." for name in without_fingerprint(datasets(task)))
    return f"{facts}{task.rounds} rounds; {', '.join(task.networks)}; {task.precision}.{missing}"


def remaining(index: ResultsIndex, task: Task, sources: Sequence[Source]) -> list[str]:
    """Sentences on the cells that are open, and on methods that do not apply."""
    wanted = sorted(claims.methods_on(sources, task.name)) if task.tier == "paper" else sorted(index.methods)
    missing = index.missing(task.name, wanted)
    open_cells = [f"{method} ({', '.join(map(str, seeds))})" for method, seeds in missing.items()]
    open_cells += [f"{method} (no such method yet)" for method in wanted if method not in index.methods]
    reasons: dict[str, list[str]] = {}
    for method in wanted:
        if method in index.methods and (reason := index.why_not_applicable(task.name, method)):
            reasons.setdefault(reason, []).append(method)
    sentences = [f"Open (seeds): {', '.join(open_cells)}."] if open_cells else []
    return sentences + [f"Not applicable: {', '.join(methods)} ({reason})." for reason, methods in reasons.items()]

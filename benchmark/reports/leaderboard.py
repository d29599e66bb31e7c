"""LEADERBOARD.md: the ranking of every track, with links to all boards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from benchmark.analysis.ranking import Ranking as Scores
from benchmark.analysis.tables import in_order
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.records.index import SEEDS, ResultsIndex
from benchmark.reports import columns, markdown
from benchmark.reports.boards import clients_judged
from benchmark.reports.tracks import JUDGED, Ranking, rankings

if TYPE_CHECKING:
    from pandas import DataFrame

READING = f"""Accuracy is that of the final models, mean ± half the 95 % t interval over seeds (at least {SEEDS}).
A score is the interquartile mean over tasks and seeds of accuracy between two controls, 0 for the network as it
starts (or clients that never communicate) and 1 for pooled data; a track without such controls is sorted by the
mean rank over its tasks, 1 for the best, with a method that diverges behind all others. Controls are bounds and
have neither. MB (1e6 bytes) are measured payload in both directions over the whole run."""
MARKS = """**Bold**: the best method of a task and all that are not told apart from it (paired t tests with variances
shrunk over the board, corrected over all comparisons with the best). *Italic*: controls."""


def page(index: ResultsIndex, tables: Mapping[str, DataFrame], scores: Sequence[Scores]) -> str:
    """The Markdown of the leaderboard, from the tables of all tasks and the tracks' scores."""
    records = sum(map(len, index.records.values()))
    parts = [
        "# Leaderboard",
        f"Written by `dvc repro` from {records} records (protocol {PROTOCOL}, engine {ENGINE}); do not edit.",
        f"{READING} {MARKS}",
        "A method links to its file and paper, a task to its board, which has paired differences to FedAvg, forgetting "
        "and rounds. [CLAIMS.md](CLAIMS.md) holds the papers' claims beside what was measured.",
    ]
    for ranking in rankings(index, tables, scores):
        parts += _track(index, ranking)
    if waiting := [task.name for task in in_order(index) if task.name not in tables]:
        parts.append(f"Tasks without records: {', '.join(waiting)}.")
    return "\n\n".join([*parts, *_left_out(index)]) + "\n"


def left_out(index: ResultsIndex) -> dict[str, str]:
    """Files among the results that no table has, with the reason."""
    return {
        entry.path.relative_to(index.results).as_posix(): entry.reason or "its task is gone"
        for entry in index.entries
        if entry.record is None or entry.record.task not in index.tasks
    }


def _left_out(index: ResultsIndex) -> list[str]:
    lines = [f"- `{path}`: {markdown.escape(reason)}" for path, reason in left_out(index).items()]
    return ["## Records without a table", "\n".join(lines)] if lines else []


def _track(index: ResultsIndex, ranking: Ranking) -> list[str]:
    decorate: dict[str, markdown.Decorate] = {task: partial(_bold, ranking, task) for task in ranking.tasks}
    decorate["method"] = partial(_method, index)
    links = {task: board(task) for task in ranking.tasks}
    others = ", ".join(markdown.link(name, board(name)) for name in ranking.others)
    parts = [
        f"## {ranking.track.capitalize()} track",
        f"{JUDGED[ranking.track].capitalize()}.",
        markdown.table(columns.at("page", ranking.columns), ranking.rows, decorate, links),
        f"The score is over {', '.join(ranking.scored)}." if ranking.scored else "",
        clients_judged(ranking.rows),
        f"Other boards: {others}." if others else "",
    ]
    return [part for part in parts if part]


def board(task: str) -> str:
    """Where a task's board is, from the root of the repository."""
    return f"docs/boards/{task}.md"


def _method(index: ResultsIndex, row: columns.Row, text: str) -> str:
    """A method's name, linked to its file and its paper."""
    facts = index.methods.get(row["method"])
    if facts is None:
        return text
    name = markdown.link(text, f"algorithms/{row['method']}.py")
    name = f"*{name}*" if row["place"] == "control" else name
    paper = markdown.paper_link(facts.paper, "paper")
    return f"{name} ({paper})" if paper else name


def _bold(ranking: Ranking, task: str, row: columns.Row, text: str) -> str:
    return f"**{text}**" if row["method"] in ranking.best.get(task, ()) else text

"""CLAIMS.md and docs/papers/<name>.md: what the papers claim beside what was measured."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import takewhile

from benchmark.analysis.claim_verdicts import VERDICTS, Finding
from benchmark.analysis.claims import Claim, Source
from benchmark.analysis.cost import training_images
from benchmark.core.tasks.task import Task
from benchmark.records.index import ResultsIndex
from benchmark.reports import boards, columns, markdown

OPEN = "not measured"
OVERVIEW = """Written by `dvc repro` from the records and `results/claims.yaml`; do not edit. A claim gets a
verdict at the paper's own setting alone; [the schema](results/SCHEMA.md) has the rules. Each paper's page holds
its tables as printed, the settings and what is open. ± is half the 95 % t interval over n seeds. *Recalled*
numbers were not read in the paper."""
READING = """A cell holds the paper's number → ours ± half the 95 % t interval (n seeds) and the verdict.
*Recalled* numbers were not read in the paper."""
COST = """Images are those of local training with one pass per round, for one seed; methods with more passes or
training on the server cost more. `fedrepro campaign --dry-run --tier paper` forecasts hours for this machine."""


def overview(verdicts: Sequence[Finding]) -> str:
    """The Markdown of CLAIMS.md: a count per paper, then every claim that has a verdict."""
    parts = ["# Claims of the papers", OVERVIEW]
    papers = _by_paper(verdicts)
    if papers:
        counts = {paper: Counter(verdict.verdict for verdict in found) for paper, found in papers.items()}
        rows = [[_page_link(paper), str(len(papers[paper])), *(str(counts[paper][name]) for name in VERDICTS)]
                for paper in papers]  # fmt: skip
        total = ["All", str(len(verdicts)), *(str(sum(count[name] for count in counts.values())) for name in VERDICTS)]
        parts.append(markdown.grid(["Paper", "Claims", *map(str.capitalize, VERDICTS)], [*rows, total]))
    for paper, found in papers.items():
        judged = [verdict.model_dump() for verdict in found if verdict.verdict != OPEN]
        if judged:
            parts += [f"## {paper}", markdown.table(columns.at("page", columns.CLAIMS), judged)]
            parts += (
                [f"{len(found) - len(judged)} further claims are not measured."] if len(found) > len(judged) else []
            )
    return "\n\n".join(parts) + "\n"


def pages(
    index: ResultsIndex, sources: Sequence[Source], verdicts: Sequence[Finding], with_board: Collection[str]
) -> dict[str, str]:
    """The Markdown of every paper's page by file name.

    Args:
        index: The records.
        sources: The papers' tables with their claims.
        verdicts: The verdict on every claim.
        with_board: Names of tasks that have a board to link to.
    """
    known = {verdict.id: verdict for verdict in verdicts}
    papers = list(dict.fromkeys(source.paper for source in sources))
    return {
        file_name(paper): _page(index, [source for source in sources if source.paper == paper], known, with_board)
        for paper in papers
    }


def file_name(paper: str) -> str:
    """The file of a paper's page."""
    return re.sub("[^a-z0-9]+", "-", paper.lower()) + ".md"


def _by_paper(verdicts: Sequence[Finding]) -> dict[str, list[Finding]]:
    papers: dict[str, list[Finding]] = {}
    for verdict in verdicts:
        papers.setdefault(verdict.paper, []).append(verdict)
    return papers


def _page_link(paper: str) -> str:
    return markdown.link(markdown.escape(paper), f"docs/papers/{file_name(paper)}")


def _page(
    index: ResultsIndex, sources: Sequence[Source], known: Mapping[str, Finding], with_board: Collection[str]
) -> str:
    claims = [claim for source in sources for claim in source.claims]
    count = Counter(known[claim.id].verdict for claim in claims)
    recalled = sum(known[claim.id].provenance == "recalled" for claim in claims)
    summary = ", ".join(f"{count[name]} {name}" for name in VERDICTS if count[name])
    parts = [f"# {sources[0].paper}", _citation(sources[0].source),
             f"{len(claims)} claims: {summary}. {recalled} of them are recalled.", READING]  # fmt: skip
    for source in sources:
        parts += _section(source, known, with_board)
    tasks = list(dict.fromkeys(task for claim in claims for task in claim.tasks))
    return "\n\n".join([*parts, *_settings(index, tasks, with_board), *_open(index, claims, tasks)]) + "\n"


def _citation(source: str) -> str:
    return f"{source} ({markdown.paper_link(source, 'paper')})." if markdown.paper_link(source, "") else f"{source}."


def _section(source: Source, known: Mapping[str, Finding], with_board: Collection[str]) -> list[str]:
    """One table or passage of a paper: its numbers as a table, its other claims as a list."""
    printed = [claim for claim in source.claims if claim.kind == "number" and source.table.startswith("Table")]
    others = [known[claim.id].model_dump() for claim in source.claims if claim not in printed]
    parts = [f"## {_sentence(source.table)}", *([f"{_sentence(source.note)}."] if source.note else [])]
    parts += [_printed(printed, known, with_board)] if printed else []
    parts += [markdown.table(columns.at("paper", columns.CLAIMS), others)] if others else []
    remarks = [f"- `{claim.id}`: {claim.note}." for claim in source.claims if claim.note]
    remarks += [f"- `{claim.id}`, on other tasks: {'; '.join(known[claim.id].elsewhere)}." for claim in printed
                if known[claim.id].elsewhere]  # fmt: skip
    return [*parts, *(["\n".join(remarks)] if remarks else [])]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _printed(claims: Sequence[Claim], known: Mapping[str, Finding], with_board: Collection[str]) -> str:
    """A table as its paper prints it: a row per method, a column per task and metric."""
    places = list(dict.fromkeys(_place(claim) for claim in claims))
    methods = list(dict.fromkeys(claim.methods[0] for claim in claims))
    prefix = _prefix([task for task, _ in places])
    heads = [_head(task, metric, prefix, with_board) for task, metric in places]
    rows = [
        [method, *("; ".join(_cell(known[claim.id]) for claim in claims
                             if claim.methods[0] == method and _place(claim) == place) for place in places)]
        for method in methods
    ]  # fmt: skip
    return markdown.grid(["Method", *heads], rows)


def _place(claim: Claim) -> tuple[str, str]:
    """Task and metric of a number."""
    metric = f"rounds to {claim.target * 100:g} %" if claim.target else claim.metric
    return claim.tasks[0], metric


def _prefix(tasks: Collection[str]) -> str:
    """What the names of several tasks begin with, up to a dash."""
    if len(set(tasks)) == 1:
        return "paper-"
    words = zip(*(task.split("-") for task in tasks), strict=False)
    return "".join(f"{word[0]}-" for word in takewhile(lambda word: len(set(word)) == 1, words))


def _head(task: str, metric: str, prefix: str, with_board: Collection[str]) -> str:
    name = task.removeprefix(prefix)
    return f"{_board_link(task, with_board, name)}, {metric}"


def _board_link(task: str, with_board: Collection[str], text: str) -> str:
    return markdown.link(text, f"../boards/{task}.md") if task in with_board else text


def _cell(verdict: Finding) -> str:
    recalled = " *(recalled)*" if verdict.provenance == "recalled" else ""
    ours = f"{verdict.measured}, {verdict.verdict}" if verdict.measured else "open"
    return f"{verdict.claimed}{recalled} → {markdown.escape(ours)}"


def _settings(index: ResultsIndex, tasks: Sequence[str], with_board: Collection[str]) -> list[str]:
    lines = []
    for name in tasks:
        task = index.tasks.get(name)
        text = f"{boards.setting(task)} {task.note}".strip() if task else "this task is not written."
        lines.append(f"- {_board_link(name, with_board, name)}: {text}")
    return ["## Settings and departures", "\n".join(lines)]


def _open(index: ResultsIndex, claims: Sequence[Claim], tasks: Sequence[str]) -> list[str]:
    """The cells that the paper's claims still lack, with what a seed costs."""
    rows = []
    for name in tasks:
        methods = {method for claim in claims if name in claim.tasks for method in claim.methods}
        if (task := index.tasks.get(name)) is None:
            rows.append([name, ", ".join(sorted(methods)), "unknown: the task is not written"])
        elif cells := _missing(index, task, methods):
            rows.append([name, "; ".join(cells), f"{training_images(task) / 1e6:,.1f} million images"])
    if not rows:
        return []
    return ["## Open", markdown.grid(["Task", "Methods (seeds)", "Cost of a seed"], rows), COST]


def _missing(index: ResultsIndex, task: Task, methods: Collection[str]) -> list[str]:
    """Methods with the seeds that they lack, methods that lack the same ones together."""
    by_seeds: dict[str, list[str]] = {}
    for method, seeds in index.missing(task.name, methods).items():
        by_seeds.setdefault(", ".join(map(str, seeds)), []).append(method)
    cells = [f"{', '.join(names)} ({seeds})" for seeds, names in by_seeds.items()]
    return cells + [f"{method} (no such method yet)" for method in sorted(methods) if method not in index.methods]

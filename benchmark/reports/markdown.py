"""Markdown: tables, links, and text that stays in its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from benchmark.core.errors import printable
from benchmark.reports.columns import Column, Row

ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")
DOI = re.compile(r"doi (\S+)")
TAG = re.compile(r"<(?=[A-Za-z/!?])")  # where HTML begins; a comparison of numbers stays as it is
Decorate = Callable[[Row, str], str]


def escape(text: str) -> str:
    """Text on one line that is no border of a table, no HTML and no link, and has no control characters."""
    plain = TAG.sub("&lt;", printable(text)).replace("](", "]\\(")
    return " ".join(plain.replace("|", "\\|").split())


def table(
    columns: Sequence[Column],
    rows: Sequence[Row],
    decorate: Mapping[str, Decorate] | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """A pipe table.

    Args:
        columns: The columns.
        rows: The rows.
        decorate: By a column's name: what to make of a cell's escaped text, such as bold text.
        links: By a column's name: where its head leads.
    """
    decorate, links = decorate or {}, links or {}
    heads = [_head(column, links.get(column.name)) for column in columns]
    body = [
        [decorate.get(column.name, _plain)(row, _unbroken(escape(column.text(row)))) for column in columns]
        for row in rows
    ]
    return grid(heads, body)


def _unbroken(text: str) -> str:
    """Text whose intervals stay on one line of a narrow column."""
    return re.sub(r" ± | to (?=[\d.-]+\))", lambda found: found[0].replace(" ", "\u00a0"), text)


def _head(column: Column, target: str | None) -> str:
    head = link(escape(column.head), target) if target else escape(column.head)
    return f"{head} ({column.unit})" if column.unit else head


def grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A pipe table of cells that are Markdown already."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def link(text: str, target: str) -> str:
    """A link."""
    return f"[{text}]({target})"


def paper_link(paper: str, text: str) -> str:
    """A link to the arXiv number or DOI in a citation, "" where it has none."""
    if found := ARXIV.search(paper):
        return link(text, f"https://arxiv.org/abs/{found[1]}")
    if found := DOI.search(paper):
        return link(text, f"https://doi.org/{found[1]}")
    return ""


def _plain(_: Row, text: str) -> str:
    return text

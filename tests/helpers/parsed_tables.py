"""Tables as a reader sees them: cells by the head above them, from Markdown, HTML and the terminal."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

Row = dict[str, str]


def markdown(text: str) -> list[list[Row]]:
    """Every pipe table of a page; links and emphasis are reduced to their text."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    lines = [[[_text(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block] for block in blocks]
    return [[dict(zip(heads, cells, strict=True)) for cells in body] for heads, _, *body in lines]


def _text(cell: str) -> str:
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cell.replace("\\|", "|"))
    return plain.replace("*", "").replace("\u00a0", " ").strip()


def html(text: str, selector: str) -> list[Row]:
    """The rows of the table of a class within the element of an id: `html(page, "digits-shards board")`."""
    place, kind = selector.split()
    table = text.split(f'id="{place}"')[1].split(f'<table class="{kind}">')[1].split("</table>")[0]
    heads, *rows = _Rows(table).rows
    return [dict(zip(heads, cells, strict=True)) for cells in rows]


class _Rows(HTMLParser):
    """Texts of cells, row by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def terminal(text: str, heads: list[str]) -> list[Row]:
    """Rows of a table of left-aligned columns, which begins with a line of these heads."""
    lines = text.splitlines()
    first = next(place for place, line in enumerate(lines) if line.split("  ")[0].strip() == heads[0])
    starts = [0]
    for before, head in itertools.pairwise(heads):
        starts.append(lines[first].index(head, starts[-1] + len(before)))
    assert lines[first].split() == " ".join(heads).split()
    places = list(zip(starts, [*starts[1:], None], strict=True))
    return [
        dict(zip(heads, (line[begin:end].strip() for begin, end in places), strict=True)) for line in lines[first + 1 :]
    ]

"""Names and reasons that methods and records bring are text in Markdown and on terminals, and nothing else."""

from __future__ import annotations

import pytest

from benchmark.core.errors import BenchmarkError, explain, printable
from benchmark.reports.markdown import escape


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a<img src=x onerror=alert(2)>|b", "a&lt;img src=x onerror=alert(2)>\\|b"),
        ("</table><!-- x", "&lt;/table>&lt;!-- x"),
        ("[free](javascript:alert)", "[free]\\(javascript:alert)"),
        ("\x1b[2Jgone\u202egnp", "?[2Jgone?gnp"),
        ("two\nlines\t here", "two lines here"),
        ("p <0.001, a < b", "p <0.001, a < b"),
        ("λ ± 日本", "λ ± 日本"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_a_terminal_gets_no_control_characters() -> None:
    text = "loss\x1b]0;owned\x07 of \u2066layer\x9b2J"
    assert printable(text) == "loss?]0;owned? of ?layer?2J"
    for error in (BenchmarkError(text), ValueError(text)):
        line, _ = explain(error)
        assert line.isprintable() and "owned" in line

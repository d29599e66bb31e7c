"""What one sees of long work."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmark import progress
from benchmark.campaign import Outcome
from benchmark.cell import Cell
from benchmark.progress import Bars, Lines, label, spell

FIRST, SECOND = Cell("digits-shards", "fedavg", 0), Cell("digits-shards", "fedntd", 0)


def screen(terminal: bool = False) -> tuple[Console, io.StringIO]:
    """A console that writes into a string."""
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=150, highlight=False), text


def test_time_left_follows_from_the_work_done_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    console, _ = screen()
    view = Lines(console, {label(FIRST): 30.0, label(SECOND): 10.0})
    assert view.left is None
    view.begin(FIRST)
    view.round(FIRST, {"round": 1, "rounds": 3})
    # A third of 30 is done after 5 s, so 30 of 40 are left: 5 * 30 / 10 = 15 s.
    now = 105.0
    assert view.left == pytest.approx(15)
    # Then all of 30 after 20 s: 20 * 10 / 30 s.
    now = 120.0
    view.end(Outcome(FIRST, None, 20.0, "it broke"))
    assert view.left == pytest.approx(20 / 3)


def test_without_a_terminal_there_is_one_line_per_cell() -> None:
    console, text = screen()
    with Lines(console, {label(FIRST): 1.0, label(SECOND): 1.0}) as view:
        for cell in (FIRST, SECOND):
            view.begin(cell)
            view.round(cell, {"round": 1, "rounds": 2, "accuracy": 0.5})
            view.end(Outcome(cell, None, 1.0, "no such thing"))
    lines = text.getvalue().splitlines()
    assert lines[0].startswith("[1/2] digits-shards fedavg seed 0: FAILED: no such thing; ")
    assert lines[0].endswith(" left")
    assert lines[1:] == ["[2/2] digits-shards fedntd seed 0: FAILED: no such thing"]


def test_on_a_terminal_a_bar_shows_cell_round_accuracy_and_time_left() -> None:
    console, text = screen(terminal=True)
    with Bars(console, {label(FIRST): 1.0, label(SECOND): 1.0}) as view:
        view.begin(FIRST)
        view.round(FIRST, {"round": 2, "rounds": 8, "accuracy": 0.625})
        view.round(FIRST, {"round": 3, "rounds": 8})
        view.progress.refresh()
    shown = text.getvalue()
    assert "digits-shards fedavg seed 0" in shown and "round 3/8, accuracy 62.5%, " in shown and "0/2, " in shown


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "unknown"), (4.4, "4 s"), (89, "89 s"), (90, "2 min"), (5400, "1 h 30 min")]
)
def test_durations_are_for_people(seconds: float | None, words: str) -> None:
    assert spell(seconds) == words

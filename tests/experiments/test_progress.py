"""What one sees of long work."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmark.experiments import progress
from benchmark.experiments.cell import Cell
from benchmark.experiments.progress import Lines, Outcome, Screen, label, spell

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


def test_on_a_terminal_a_table_shows_round_accuracy_forgetting_bytes_and_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    console, text = screen()
    view = Screen(console, {label(FIRST): 1.0, label(SECOND): 1.0})
    view.begin(FIRST)
    event = {"rounds": 8, "bytes_up": 1_000_000, "bytes_down": 500_000}
    view.round(FIRST, {**event, "round": 2, "accuracy": 0.625, "forgetting": 0.25})
    now = 106.0
    view.round(FIRST, {**event, "round": 3})
    console.print(view.table())
    head, row, whole = text.getvalue().splitlines()
    assert head.split() == ["Cell", "Round", "Accuracy", "Forgetting", "MB", "Left"]
    # 3 of 8 rounds after 6 s, so 6 * 5 / 3 s are left; accuracy and forgetting are those of the last judged round.
    assert row.removeprefix(label(FIRST)).split() == ["3/8", "62.5%", "0.25", "1.50", "10", "s"]
    assert whole.strip() == "0/2 cells, 26 s left"  # 3 / 8 of 2 cells in 6 s: 6 * 13 / 3 s


def test_the_table_leaves_a_line_per_finished_cell() -> None:
    console, text = screen(terminal=True)
    with Screen(console, {label(FIRST): 1.0}) as view:
        view.begin(FIRST)
        view.end(Outcome(FIRST, None, 1.0, "no such thing"))
    assert "digits-shards fedavg seed 0: FAILED: no such thing" in text.getvalue() and view.seen == {}


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "unknown"), (4.4, "4 s"), (89, "89 s"), (90, "2 min"), (5400, "1 h 30 min")]
)
def test_durations_are_for_people(seconds: float | None, words: str) -> None:
    assert spell(seconds) == words

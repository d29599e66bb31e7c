"""What one sees of long work: a live table on a terminal, one line per cell anywhere else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from benchmark.core.errors import printable
from benchmark.experiments.tuning import Tuned, Tuning

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from benchmark.experiments.cell import Cell
    from benchmark.records.record import Record

MEGABYTE = 1e6


@dataclass(frozen=True)
class Outcome:
    """How a cell or a tuning ended: its record, or why there is none; seconds it took here."""

    cell: Cell | Tuning
    record: Record | Tuned | None
    seconds: float
    error: str = ""


def label(cell: Cell | Tuning) -> str:
    """A cell or a tuning in words."""
    return f"{Path(cell.task).stem} {Path(cell.algorithm).stem} {cell.what}"


def spell(seconds: float | None) -> str:
    """A duration for people."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def outcome_text(outcome: Outcome) -> str:
    """How a cell or a tuning ended, without its name."""
    record = outcome.record
    if record is None:
        return f"FAILED: {outcome.error}"
    if isinstance(record, Tuned):
        return f"{record.summary}, {outcome.seconds:.1f} s"
    if record.result is None:
        return f"{record.status}: {printable(record.reason)}"
    result = record.result
    megabytes = f"{result.bytes.up / MEGABYTE:.2f} MB up, {result.bytes.down / MEGABYTE:.2f} MB down"
    return f"accuracy {result.accuracy:.1%}, forgetting {result.forgetting:.2f}, {megabytes}, {outcome.seconds:.1f} s"


class Lines:
    """One line per finished cell; base of the live view.

    costs: expected cost of every cell that will run, in any unit; the time left follows from the pace so far
    """

    def __init__(self, console: Console, costs: Mapping[str, float]) -> None:
        self.console, self.costs = console, dict(costs)
        self.finished: set[str] = set()
        self.shares: dict[str, float] = {}  # of the running cells, in [0, 1]
        self.started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""

    def begin(self, cell: Cell | Tuning) -> None:
        """A worker takes a cell."""
        self.shares[label(cell)] = 0.0

    def round(self, cell: Cell | Tuning, event: Mapping[str, Any]) -> None:
        """A round of a running cell is over."""
        self.shares[label(cell)] = event["round"] / event["rounds"]

    def end(self, outcome: Outcome) -> None:
        """A cell is finished or has failed."""
        name = label(outcome.cell)
        self.shares.pop(name, None)
        self.finished.add(name)
        left = f"; {spell(self.left)} left" if len(self.finished) < len(self.costs) else ""
        count = f"[{len(self.finished)}/{len(self.costs)}]"
        self.console.print(f"{count} {name}: {outcome_text(outcome)}{left}", markup=False, soft_wrap=True)

    @property
    def left(self) -> float | None:
        """Seconds until all cells are done at the pace so far; None before there is a pace."""
        done = sum(self.costs[name] for name in self.finished)
        done += sum(self.costs[name] * share for name, share in self.shares.items())
        passed = time.monotonic() - self.started
        return passed * (sum(self.costs.values()) - done) / done if done else None


class Screen(Lines):
    """A live table of the cells that run, under the lines of those that are finished."""

    def __init__(self, console: Console, costs: Mapping[str, float]) -> None:
        from rich.live import Live

        super().__init__(console, costs)
        self.begun: dict[str, float] = {}
        self.seen: dict[str, dict[str, Any]] = {}  # the last of everything, since not every round is judged
        self.live = Live(console=console, transient=True, get_renderable=self.table)

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def begin(self, cell: Cell | Tuning) -> None:
        super().begin(cell)
        self.begun[label(cell)] = time.monotonic()
        self.seen[label(cell)] = {}

    def round(self, cell: Cell | Tuning, event: Mapping[str, Any]) -> None:
        super().round(cell, event)
        self.seen[label(cell)].update(event)

    def end(self, outcome: Outcome) -> None:
        super().end(outcome)
        self.seen.pop(label(outcome.cell), None)

    def table(self) -> Table:
        """What the terminal shows now."""
        from rich.table import Table

        table = Table("Cell", box=None, pad_edge=False, caption=self._whole(), caption_justify="left")
        for head in ("Round", "Accuracy", "Forgetting", "MB", "Left"):
            table.add_column(head, justify="right")
        for name, event in self.seen.items():
            table.add_row(name, *self._numbers(name, event))
        return table

    def _numbers(self, name: str, event: Mapping[str, Any]) -> list[str]:
        if not event:
            return ["starts"]
        share, passed = self.shares[name], time.monotonic() - self.begun[name]
        sent = (event.get("bytes_up", 0) + event.get("bytes_down", 0)) / MEGABYTE
        return [
            f"{event['round']}/{event['rounds']}", f"{event['accuracy']:.1%}" if "accuracy" in event else "",
            f"{event['forgetting']:.2f}" if "forgetting" in event else "", f"{sent:.2f}",
            spell(passed * (1 - share) / share),
        ]  # fmt: skip

    def _whole(self) -> str | None:
        if len(self.costs) < 2:
            return None
        return f"{len(self.finished)}/{len(self.costs)} cells, {spell(self.left)} left"


def watch(costs: Mapping[str, float], *, stderr: bool = False) -> Lines:
    """The view that fits where the output goes; stderr: keep stdout free for data."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    return (Screen if console.is_terminal else Lines)(console, costs)

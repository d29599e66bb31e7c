"""What one sees of long work: live bars on a terminal, one line per cell anywhere else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from benchmark.tune import Tuned, Tuning

if TYPE_CHECKING:
    from rich.console import Console

    from benchmark.cell import Cell
    from benchmark.record import Record

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
        return f"{record.status}: {record.reason}"
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


class Bars(Lines):
    """A bar per running cell (round, accuracy, time left) under the lines of those that are finished."""

    def __init__(self, console: Console, costs: Mapping[str, float]) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        super().__init__(console, costs)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
        )
        self.progress = Progress(*columns, console=console, transient=True)
        self.bars: dict[str, Any] = {}
        self.begun: dict[str, float] = {}
        self.accuracies: dict[str, str] = {}  # the last one judged, since not every round is
        self.whole = self.progress.add_task("all cells", total=1.0, state="") if len(costs) > 1 else None

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def begin(self, cell: Cell | Tuning) -> None:
        super().begin(cell)
        name = label(cell)
        self.begun[name] = time.monotonic()
        self.bars[name] = self.progress.add_task(name, total=1.0, state="starts")

    def round(self, cell: Cell | Tuning, event: Mapping[str, Any]) -> None:
        super().round(cell, event)
        name = label(cell)
        share = self.shares[name]
        words = [f"round {event['round']}/{event['rounds']}"]
        if "accuracy" in event:
            self.accuracies[name] = f"accuracy {event['accuracy']:.1%}"
        words += [self.accuracies[name]] if name in self.accuracies else []
        words += [f"{spell((time.monotonic() - self.begun[name]) * (1 - share) / share)} left"]
        self.progress.update(self.bars[name], completed=share, state=", ".join(words))
        self._count()

    def end(self, outcome: Outcome) -> None:
        super().end(outcome)
        if (bar := self.bars.pop(label(outcome.cell), None)) is not None:
            self.progress.remove_task(bar)
        self._count()

    def _count(self) -> None:
        if self.whole is not None:
            done = len(self.finished)
            share = (done + sum(self.shares.values())) / len(self.costs)
            state = f"{done}/{len(self.costs)}, {spell(self.left)} left"
            self.progress.update(self.whole, completed=share, state=state)


def watch(costs: Mapping[str, float], *, stderr: bool = False) -> Lines:
    """The view that fits where the output goes; stderr: keep stdout free for data."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    return (Bars if console.is_terminal else Lines)(console, costs)

"""The columns of every table: one list per kind of row feeds Markdown, HTML, the terminal and CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmark.analysis.metrics import METRICS
from benchmark.analysis.time_to_accuracy import PROFILES, column

if TYPE_CHECKING:
    from pandas import DataFrame

Row = Mapping[str, Any]
Place = Literal["page", "apart", "paper", "report", "terminal", "csv"]
EVERYWHERE: tuple[Place, ...] = ("page", "apart", "report", "terminal", "csv")
DETAILS: tuple[Place, ...] = ("report", "csv")
FACTS = ("comparable", "precision", "backend", "audited", "confirmed")  # of a row, in the CSV alone
INTERVAL = "± 95 % CI"
"""What ± is in every table: half the 95 % t interval over seeds."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        head: What the column is called, without its unit.
        unit: Unit of its numbers, "" where there is none.
        text: What a row shows in it.
        fields: Names of its values in a row and in the CSV; rows sort by the first.
        shown: Where the column is shown: `page` is docs/boards and CLAIMS.md, `apart` the rows of a board that are not
            comparable, `paper` docs/papers, `report` the HTML page.
    """

    head: str
    unit: str
    text: Callable[[Row], str]
    fields: tuple[str, ...]
    shown: tuple[Place, ...]

    @property
    def name(self) -> str:
        """The field that rows sort by."""
        return self.fields[0]

    @property
    def title(self) -> str:
        """Head and unit, as tables print them."""
        return f"{self.head} ({self.unit})" if self.unit else self.head

    def sort_value(self, row: Row) -> float | str:
        """What a row sorts by: its number or its text, "" where it has neither."""
        value = row[self.name]
        if empty(value):
            return ""
        return float(value) if isinstance(value, int | float) else self.text(row)


def board(targets: Sequence[float]) -> list[Column]:
    """Columns of a task's board.

    Args:
        targets: Accuracies in [0, 1] that rounds and MB are counted to; pages show the middle one.
    """
    middle = targets[len(targets) // 2] if targets else None
    columns = [
        _text("Method", "method", EVERYWHERE),
        _spread("Accuracy", "%", "accuracy", EVERYWHERE),
        _text("Group", "group", ("page", "report", "terminal", "csv")),
        Column("Δ FedAvg", f"points {INTERVAL}; p", _difference, ("difference",), ("page", "apart")),
        _spread("Δ FedAvg", "points", "difference", ("report", "terminal", "csv"), sign="+"),
        Column("p", "", lambda row: probability(row["p"]), ("p",), ("report", "terminal", "csv")),
        _spread("Last five", "%", "last5", DETAILS),
        _spread("Forgetting", "points", "forgetting", EVERYWHERE),
        _spread("In-local", "%", "in_local", DETAILS),
        _spread("Out-local", "%", "out_local", DETAILS),
        Column("Sent", "MB", _both_directions, ("mb_up", "mb_down"), ("page", "apart")),
        Column("Up", "MB", lambda row: _exact(row, "mb_up"), _with_interval("mb_up"), ("report", "terminal", "csv")),
        Column("Down", "MB", lambda row: _exact(row, "mb_down"), _with_interval("mb_down"),
               ("report", "terminal", "csv")),
    ]  # fmt: skip
    for target in targets:
        columns += _effort(f"{target * 100:g}", page=target == middle)
        columns += [_minutes(target, profile) for profile in PROFILES]
    return [
        *columns,
        *(_spread(one.head, one.unit, one.name, DETAILS, digits=one.digits) for one in METRICS),
        _text("Judged", "judged", DETAILS),
        _text("Settings", "settings", ("report", "terminal", "csv")),
        Column(
            "Diverged",
            "% of seeds",
            lambda row: f"{row['diverged']:.0f}" if row["diverged"] else "",
            ("diverged",),
            DETAILS,
        ),
        Column("Seeds", "", _seeds, ("seeds",), EVERYWHERE),
        _text("Remarks", "remarks", ("apart", "report", "terminal", "csv")),
        *(
            _text(name.capitalize(), name, ("csv",))
            for name in ("best", "comparable", "precision", "backend", "audited", "confirmed")
        ),
    ]


def _tasks(row: Row) -> str:
    first, *others = row["tasks"]
    return f"{first} and {len(others)} more" if others else str(first)


CLAIMS = (
    Column("Id", "", lambda row: row["id"], ("id",), ("report", "terminal")),
    Column("Where", "", lambda row: row["table"], ("table",), ("page",)),
    Column("Claim", "", lambda row: row["statement"], ("statement",), ("page", "paper", "report", "terminal")),
    Column("Task", "", _tasks, ("tasks",), ("page", "report")),
    Column("Paper", "", lambda row: f"{row['claimed']} ({row['provenance']})", ("claimed",),
           ("page", "paper", "report", "terminal")),
    Column("Ours", INTERVAL, lambda row: row["measured"] or _waits(row), ("measured",),
           ("page", "paper", "report", "terminal")),
    Column("Verdict", "", lambda row: row["verdict"], ("verdict",), ("page", "paper", "report", "terminal")),
    Column("On other tasks", "", lambda row: "; ".join(row["elsewhere"]), ("elsewhere",),
           ("paper", "report", "terminal")),
    Column("Source", "", lambda row: f"{row['paper']}, {row['table']}", ("paper",), ("report",)),
    Column("Note", "", lambda row: row["note"], ("note",), ("report",)),
)  # fmt: skip
"""Columns of a table of claims; a row is a claim with its verdict."""


def track(tasks: Sequence[str], scored: bool) -> list[Column]:
    """Columns of a track's ranking.

    Args:
        tasks: Names of the tasks that are ranked over.
        scored: Whether the track has scores between its controls; without them methods have a mean rank.
    """
    estimate = Column("Score", "95 % CI", _score, ("score",), ("page", "report"))
    if not scored:
        estimate = Column("Mean rank", "", _rank, ("rank",), ("page", "report"))
    return [
        Column("#", "", lambda row: str(row["place"]), ("place",), ("page",)),
        _text("Method", "method", ("page", "report")),
        estimate,
        *(_on_task(task) for task in tasks),
        Column("Sent per client", "MB", lambda row: megabytes(row["mb"]), ("mb",), ("page", "report")),
        Column("Seeds", "", lambda row: str(row["seeds"]), ("seeds",), ("page", "report")),
    ]


def at(place: Place, columns: Sequence[Column]) -> list[Column]:
    """The columns that are shown in a place."""
    return [column for column in columns if place in column.shown]


def table_rows(table: DataFrame) -> list[Row]:
    """The rows of a table by field."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict(orient="records")]


def csv(frame: DataFrame, columns: Sequence[Column]) -> str:
    """The CSV of a table, in the order of its fields."""
    fields = {field for column in at("csv", columns) for field in column.fields}
    return frame.to_csv(columns=[field for field in frame if field in fields], index=False, lineterminator="\n")


def empty(value: Any) -> bool:
    """Whether a value is missing: None or NaN."""
    return value is None or value != value


def probability(p: float | None) -> str:
    """A p value, "" where there is none."""
    return "" if p is None or empty(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def megabytes(value: float | None) -> str:
    """MB in three digits, "" where there is no value."""
    return "" if value is None or empty(value) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def interval(row: Row, name: str, sign: str = "", digits: int = 1) -> str:
    """A mean with its interval; "" where there is no mean."""
    if empty(row[name]):
        return ""
    half = row[f"{name}_interval"]
    return f"{row[name]:{sign}.{digits}f}" + ("" if empty(half) else f" ± {half:.{digits}f}")


def _with_interval(name: str) -> tuple[str, str]:
    return name, f"{name}_interval"


def _text(head: str, name: str, shown: tuple[Place, ...]) -> Column:
    return Column(head, "", lambda row: "" if empty(row[name]) else str(row[name]), (name,), shown)


def _spread(head: str, unit: str, name: str, shown: tuple[Place, ...], sign: str = "", digits: int = 1) -> Column:
    unit = f"{unit} {INTERVAL}".strip()
    return Column(head, unit, lambda row: interval(row, name, sign, digits), _with_interval(name), shown)


def _difference(row: Row) -> str:
    p = probability(row["p"])
    return interval(row, "difference", "+") + (f"; {p}" if p else "")


def _exact(row: Row, name: str) -> str:
    """MB with their interval, which is left out where every seed sent as much."""
    half = row[f"{name}_interval"]
    return megabytes(row[name]) + (f" ± {megabytes(half)}" if half and not empty(half) else "")


def _both_directions(row: Row) -> str:
    return "" if empty(row["mb_up"]) else megabytes(row["mb_up"] + row["mb_down"])


def _effort(goal: str, page: bool) -> list[Column]:
    """Rounds and MB until an accuracy is exceeded."""
    rounds, size, reached = f"rounds_to_{goal}", f"mb_to_{goal}", f"reached_{goal}"

    def effort(row: Row) -> str:
        return f"{row[reached]} of {row['seeds']} seeds" if empty(row[rounds]) else f"{row[rounds]:.1f}"

    place: tuple[Place, ...] = ("page",) if page else ()
    return [
        Column(f"Rounds to {goal} %", "", effort, (rounds,), (*place, *DETAILS)),
        Column(f"Sent to {goal} %", "MB", lambda row: megabytes(row[size]), (size,), DETAILS),
        _text(f"Seeds that reach {goal} %", reached, ("csv",)),
    ]


def _minutes(target: float, profile: str) -> Column:
    name = column(target, profile)
    head = f"Time to {target * 100:g} %, {profile}"
    return Column(head, "minutes", lambda row: megabytes(row[name]), (name,), ("csv",))


def _seeds(row: Row) -> str:
    """How many seeds, how many of them an audit repeated to the bit, and whether a row is confirmed, if any is."""
    words = [str(row["seeds"])]
    for name in ("audited", "confirmed"):
        if count := row.get(name, 0):
            words.append(name if count == row["seeds"] else f"{count} {name}")
        elif name == "confirmed" and name in row:
            words.append("unconfirmed")
    return ", ".join(words)


def _waits(row: Row) -> str:
    return f"waits for {'; '.join(row['waits'])}" if row["waits"] else ""


def _score(row: Row) -> str:
    if row["score"] is None:
        return ""
    return f"{row['score']:.2f} ({row['score_low']:.2f} to {row['score_high']:.2f})"


def _rank(row: Row) -> str:
    return "" if row["rank"] is None else f"{row['rank']:.1f}"


def _on_task(task: str) -> Column:
    return Column(task, f"% {INTERVAL}", lambda row: row[f"{task}_status"] or interval(row, task), (task,),
                  ("page", "report"))  # fmt: skip

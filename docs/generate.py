"""Write the parts of the documents that repeat the program: docs/cli.md, tables in docs/metrics.md and README.md.

Run `make pages` after changing a command or rebuilding the boards; a test fails while a page is out of date.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import typer

from benchmark.analysis.controls import CONTROLS
from benchmark.analysis.metrics import METRICS

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ROOT / "docs" / "cli.md"
README = ROOT / "README.md"
DEFINITIONS = ROOT / "docs" / "metrics.md"
BEGIN, END = "<!-- written by `make pages` -->\n", "<!-- end -->\n"
BOARDS = {
    "global": "fmnist-shards",
    "heterogeneous": "cifar10-mixed",
    "personal": "fmnist-personal",
    "unsupervised": "fmnist-unsup",
}
BEST = 3


def commands() -> str:
    """The page of all commands, as typer's own generator writes it, with whole sentences in its overview."""
    from benchmark.cli import app

    words = ["-m", "typer", "benchmark.cli", "utils", "docs", "--name", "fedrepro", "--title", "Commands"]
    page = subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        sentence = (command.help or "").split("\n\n")[0].replace("\n", " ").strip()
        page = re.sub(
            rf"^\* `{name}`: .*$", lambda _, name=name, text=sentence: f"* `{name}`: {text}", page, flags=re.M
        )
    return page.rstrip() + "\n"


def best_methods() -> str:
    """A row per track: the best comparable methods of one board without controls, and FedAvg."""
    lines = ["| track, task | first | second | third | FedAvg |", "| --- | --- | --- | --- | --- |"]
    for track, task in BOARDS.items():
        with (ROOT / "results" / "tables" / f"{task}.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["comparable"] == "True" and row["accuracy"]]
        ranked = sorted((row for row in rows if row["method"] not in CONTROLS), key=lambda row: -float(row["accuracy"]))
        fedavg = [row for row in rows if row["method"] == "fedavg"]
        cells = [cell(row) for row in [*ranked[:BEST], *fedavg]] + ["not on this track"] * (not fedavg)
        lines.append(f"| {track}, {task} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(row: dict[str, str]) -> str:
    """A method with its accuracy in % and its traffic in both directions."""
    method, traffic = row["method"], float(row["mb_up"]) + float(row["mb_down"])
    accuracy = f"{float(row['accuracy']):.1f} ± {float(row['accuracy_interval']):.1f}"
    return f"[{method}](algorithms/{method}.py) {accuracy}, {traffic:,.0f} MB"


def metrics() -> str:
    """A row per metric of `benchmark.analysis.metrics`."""
    lines = ["| column of the CSV | head | what it is | source |", "| --- | --- | --- | --- |"]
    for one in METRICS:
        head = f"{one.head} ({one.unit})" if one.unit else one.head
        lines.append(f"| `{one.name}` | {head} | {one.definition} | {one.source} |")
    return "\n".join(lines) + "\n"


def with_table(text: str, table: str) -> str:
    """A document with the table between its markers replaced."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    COMMANDS.write_text(commands())
    README.write_text(with_table(README.read_text(), best_methods()))
    DEFINITIONS.write_text(with_table(DEFINITIONS.read_text(), metrics()))

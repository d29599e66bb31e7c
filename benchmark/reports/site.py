"""The pages and files of the site that are not in docs/: leaderboard, claims, tables as CSV and JSON, report."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas

from benchmark.core.storage.checksummed_json import canonical_json
from benchmark.core.tasks.task import Task
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.reports import columns, markdown
from benchmark.reports.html import page

if TYPE_CHECKING:
    from benchmark.records.index import ResultsIndex

PAGES = {"LEADERBOARD.md": "leaderboard.md", "CLAIMS.md": "claims.md", "results/SCHEMA.md": "schema.md"}
"""Pages outside of docs/ and what they are called on the site."""
DATA = """# Data

The numbers of every board at addresses that stay: a CSV and a JSON file per task, and the curves over rounds.
[index.json](data/index.json) lists them. The JSON files name each column and its unit. Accuracy is in %, MB are 1e6
bytes, an empty cell of the CSV is `null` in JSON, and `comparable` is false for a row that no board ranks.
"""


def files(index: ResultsIndex) -> dict[str, str]:
    """Content of every file by its path on the site.

    Args:
        index: The records, in the folder `results` of the repository, beside the pages made from them.

    Raises:
        BenchmarkError: A package of the extra `report` is missing.
    """
    root = index.results.parent
    boards = sorted(path.stem for path in (index.results / "tables").glob("*.csv"))
    content = {target: linked((root / source).read_text(encoding="utf-8")) for source, target in PAGES.items()}
    content["data.md"] = DATA + "\n" + _addresses({name: index.tasks[name] for name in boards}) + "\n"
    content["data/index.json"] = canonical_json({
        "protocol": PROTOCOL, "engine": ENGINE,
        "tasks": {name: f"data/{name}.json" for name in boards},
    })  # fmt: skip
    for name in boards:
        table = index.results / "tables" / f"{name}.csv"
        content[f"data/{name}.csv"] = table.read_text(encoding="utf-8")
        content[f"data/{name}.json"] = as_json(index.tasks[name], table)
        curves = index.results / "curves" / f"{name}.csv"
        if curves.exists():
            content[f"data/curves/{name}.csv"] = curves.read_text(encoding="utf-8")
    return content | {"report.html": page.page(index)}


def linked(text: str) -> str:
    """A page of the repository's root with links that work on the site: a method's file is shown in the report."""
    text = re.sub(r"\]\(algorithms/(\w+)\.py\)", r"](report.html#method-\1)", text)
    for source, target in PAGES.items():
        text = text.replace(f"]({source})", f"]({target})")
    return text.replace("](docs/", "](")


def as_json(task: Task, table: Path) -> str:
    """A task's table as JSON: its setting, its columns with their units, and a row per method.

    Args:
        task: The task.
        table: Its CSV.
    """
    frame = pandas.read_csv(table, keep_default_na=False, na_values=[""])
    units = {column.name: column.unit.split(" ")[0] for column in columns.board(task.targets) if "csv" in column.shown}
    return canonical_json({
        "task": task.name, "track": task.track, "tier": task.tier, "protocol": task.protocol, "engine": ENGINE,
        "columns": [{"name": name, "unit": units.get(name.removesuffix("_interval"), "")} for name in frame.columns],
        "rows": json.loads(frame.to_json(orient="records")),
    })  # fmt: skip


def _addresses(tasks: Mapping[str, Task]) -> str:
    rows = [
        [
            markdown.link(name, f"boards/{name}.md"),
            task.track,
            *(markdown.link(path, path) for path in (f"data/{name}.csv", f"data/{name}.json")),
        ]
        for name, task in tasks.items()
    ]
    return markdown.grid(["Board", "Track", "CSV", "JSON"], rows)

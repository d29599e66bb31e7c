"""What the page says of each method: docstring, paper, source, hyper-parameters, records with their commands."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core import method_files

if TYPE_CHECKING:
    from benchmark.records.index import ResultsIndex
    from benchmark.records.record import Record


def methods(index: ResultsIndex) -> list[dict[str, Any]]:
    """A section per method that has a fingerprint or a record, by name."""
    names = sorted(index.methods.keys() | {method for _, method in index.records})
    return [_section(index, name) for name in names]


def _section(index: ResultsIndex, name: str) -> dict[str, Any]:
    facts = index.methods.get(name)
    path = method_files.FOLDER / f"{name}.py"
    source = path.read_text(encoding="utf-8") if path.is_file() else ""
    of_method = [by_seed for (_, method), by_seed in sorted(index.records.items()) if method == name]
    records = [record for by_seed in of_method for record in by_seed.values()]
    return {
        "name": name, "facts": facts, "docstring": docstring(source), "source": source,
        "records": [_record(index, record) for record in records],
    }  # fmt: skip


def docstring(source: str) -> str:
    """The docstring of the method's class, found without running the file; "" where there is none."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    kinds = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    return (kinds and ast.get_docstring(kinds[-1])) or ast.get_docstring(tree) or ""


def _record(index: ResultsIndex, record: Record) -> dict[str, Any]:
    path, result = index.results / record.path, record.result
    return {
        "task": record.task, "seed": record.seed, "path": record.path.as_posix(), "sha256": record.result_sha256[:12],
        "accuracy": f"{result.accuracy:.2%}" if result else f"{record.status}: {record.reason}",
        "remarks": "; ".join(index.stale_reasons(record)), "command": _command(path.with_suffix(".run.json")),
    }  # fmt: skip


def _command(path: Path) -> str:
    """What obtains a record again; "" where the note beside it is lost."""
    try:
        return str(json.loads(path.read_bytes())["command"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""

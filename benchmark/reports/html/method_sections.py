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


def methods(suite: ResultsIndex) -> list[dict[str, Any]]:
    """A section per method that has a fingerprint or a record, by name."""
    names = sorted(suite.methods.keys() | {method for _, method in suite.records})
    return [_section(suite, name) for name in names]


def _section(suite: ResultsIndex, name: str) -> dict[str, Any]:
    facts = suite.methods.get(name)
    path = method_files.FOLDER / f"{name}.py"
    source = path.read_text() if path.is_file() else ""
    made = [one for (_, method), found in sorted(suite.records.items()) if method == name for one in found.values()]
    return {
        "name": name, "facts": facts, "docstring": docstring(source), "source": source,
        "records": [_record(suite, one) for one in made],
    }  # fmt: skip


def docstring(source: str) -> str:
    """The docstring of the method's class, found without running the file; "" where there is none."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    kinds = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    return (kinds and ast.get_docstring(kinds[-1])) or ast.get_docstring(tree) or ""


def _record(suite: ResultsIndex, one: Record) -> dict[str, Any]:
    path = suite.results / one.path
    result = one.result
    return {
        "task": one.task, "seed": one.seed, "path": one.path.as_posix(), "sha256": one.result_sha256[:12],
        "accuracy": f"{result.accuracy:.2%}" if result else f"{one.status}: {one.reason}",
        "marks": "; ".join(suite.stale_reasons(one)), "command": _command(path.with_suffix(".run.json")),
    }  # fmt: skip


def _command(path: Path) -> str:
    """What obtains a record again; "" where the note beside it is lost."""
    try:
        return str(json.loads(path.read_bytes())["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""

"""The tutorial runs from its first cell to its last, in an empty folder."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.core import registry

pytestmark = pytest.mark.slow

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"


def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_EXTENSIONS", {})
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    space: dict[str, Any] = {"__name__": "tutorial"}
    shown: list[Any] = []
    for number, cell in enumerate(cells):
        tree = ast.parse("".join(cell["source"]), f"cell {number}")
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None  # what a notebook shows
        exec(compile(tree, f"cell {number}", "exec"), space)
        if isinstance(last, ast.Expr):
            shown.append(eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), space))
    assert "rounds 6 instead of 30" in capsys.readouterr().out
    assert not [cell for cell in cells if cell["outputs"]]
    table = shown[-1]
    assert list(table["method"]) == ["fedavg"] and list(table["seeds"]) == [3] and (table["worst_class"] >= 0).all()

"""The notebooks run from their first cell to their last, in an empty folder."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmark.core import registry

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(name: str) -> tuple[dict[str, Any], list[Any]]:
    """Run all code cells of a notebook; its variables, and what it would show below its cells."""
    notebook = json.loads((ROOT / "docs" / name).read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not [cell for cell in cells if cell["outputs"]]
    space: dict[str, Any] = {"__name__": "notebook"}
    shown: list[Any] = []
    for number, cell in enumerate(cells):
        tree = ast.parse("".join(cell["source"]), f"cell {number}")
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"cell {number}", "exec"), space)
        if isinstance(last, ast.Expr):
            shown.append(eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), space))
    return space, shown


def test_the_tutorial(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(registry, "_EXTENSIONS", {})
    _, shown = run("tutorial.ipynb")
    assert "rounds 6 instead of 30" in capsys.readouterr().out
    table = shown[-1]
    assert list(table["method"]) == ["fedavg"] and list(table["seeds"]) == [3] and (table["worst_class"] >= 0).all()


def test_the_quick_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "fedrepro").symlink_to(ROOT)  # the clone
    monkeypatch.setattr(sys, "path", list(sys.path))
    space, shown = run("quickstart.ipynb")
    assert len(shown[-1]) == 12 and "fedntd" in set(space["board"]["method"])
    assert abs(space["difference"]) <= 0.05  # processors may round differently
    assert (folder / "trial" / "digits-shards" / "fedntd" / "0.json").exists()

"""The house rules that a machine can see."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("benchmark", "algorithms", "tests") for path in (ROOT / folder).rglob("*.py"))
UNFINISHED = re.compile("TO" "DO|FIX" "ME|XX" r"X|pytest\.(mark\.)?(sk" "ip|xf" "ail)")


def name(path: Path) -> str:
    """Path for people."""
    return path.relative_to(ROOT).as_posix()


def public(tree: ast.Module) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    """Functions and classes that others may use, and the public methods of such classes that override nothing."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef) and not node.bases:
                yield from (
                    item for item in node.body if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")
                )


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_can_be_held_in_the_head(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 300
    assert not [line for line in lines if UNFINISHED.search(line)]


@pytest.mark.parametrize("path", [path for path in FILES if path.read_text().strip()], ids=name)
def test_a_file_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "no docstring of the module"
    if "tests" not in path.parts:
        silent = [node.name for node in public(tree) if not ast.get_docstring(node)]
        assert not silent, f"no docstring: {silent}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_annotations_are_not_evaluated(path: Path) -> None:
    body = [node for node in ast.parse(path.read_text()).body if not isinstance(node, ast.Expr)]
    if any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign) for node in body):
        assert isinstance(body[0], ast.ImportFrom) and body[0].module == "__future__"


def test_no_file_names_a_machine_s_folders_or_a_package_host() -> None:
    foreign = re.compile(r"/(home|root|work|Users)/\w|index-url|find-links|https?://[^ \"]+/simple")
    others = ("README.md", "Makefile", "pyproject.toml", "requirements.lock", ".ci/run")
    found = [
        name(path)
        for path in [*FILES, *(ROOT / other for other in others)]
        if path != Path(__file__) and foreign.search(path.read_text())
    ]
    assert not found

"""Tests of house rules that a machine can check: length of files, docstrings where they are read, words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from benchmark.cli import app

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmark", "algorithms", "fedrepro", "tests", "docs", ".github", ".ci")
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".js", ".css", ".html", ".ipynb", ".bib", ""}
TRACKED = sorted(
    path
    for path in [*ROOT.glob("*"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    if path.is_file() and path.suffix in TEXT and not {"__pycache__", "report.html"} & {*path.parts}
)
PYTHON = [path for path in TRACKED if path.suffix == ".py"]
PACKAGES = [path for path in PYTHON if path.relative_to(ROOT).parts[0] in ("benchmark", "algorithms")]

# Words of an earlier version for which the field has a term of its own.
RETIRED = ("nursery", "nurseries", "desk", "desks", "shelf", "shelves", "mouthful", "mouthfuls", "guest", "guests")
RETIRED_WORD = re.compile(rf"\b({'|'.join(RETIRED)})\b", re.IGNORECASE)
FORMER_NAME = re.compile(r"fed" r"bench", re.IGNORECASE)
UNFINISHED = re.compile(r"TO" r"DO|FIX" r"ME|XX" r"X|pytest\.(mark\.)?xfail|pytest\.(mark\.)?skip(if)?\b(?!.*reason=)")
FOREIGN = re.compile(r"/(home|root|work|Users)/\w|index-url|find-links|https?://[^ \"]+/simple")


def name(path: Path) -> str:
    """Path for the report of a test."""
    return path.relative_to(ROOT).as_posix()


@cache
def parse(path: Path) -> ast.Module:
    """Syntax tree of a file."""
    return ast.parse(path.read_text())


def lines_with(pattern: re.Pattern[str], *excepted: str) -> list[str]:
    """Places of a pattern in the tracked text, without this file and the named ones."""
    paths = [path for path in TRACKED if path != Path(__file__) and name(path) not in excepted]
    return [
        f"{name(path)}:{number}: {line.strip()[:80]}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def shown_in_reference() -> Iterator[tuple[str, set[str]]]:
    """Modules that the reference pages render, each with the members that it shows (none: all public ones)."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for target, options in re.findall(r"^::: ([\w.]+)\n((?:    .*\n)*)", page.read_text(), re.MULTILINE):
            listed = re.search(r"members: \[([^\]]*)\]", options)
            yield target, set(re.findall(r"\w+", listed[1])) if listed else set()


def source_of(dotted: str) -> tuple[Path, str]:
    """File of a dotted name, and the name of the object in it (empty for a module)."""
    path = ROOT / dotted.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.exists():
            return candidate, ""
    parent, _, member = dotted.rpartition(".")
    return source_of(parent)[0], member


def undocumented(tree: ast.Module, members: set[str]) -> Iterator[str]:
    """Public functions and classes without a docstring, and public methods of such classes."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            if members and node.name not in members:
                continue
            inner = node.body if isinstance(node, ast.ClassDef) else []
            methods = [item for item in inner if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")]
            yield from (item.name for item in [node, *methods] if not ast.get_docstring(item))


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_a_file_is_short_and_finished(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= (320 if path.name == "api.py" else 300)  # the one file that a method's author reads
    assert not [line for line in lines if UNFINISHED.search(line)]


@pytest.mark.parametrize("path", [path for path in PYTHON if path.read_text().strip()], ids=name)
def test_a_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(parse(path))


@pytest.mark.parametrize(("target", "members"), list(shown_in_reference()), ids=str)
def test_what_the_reference_shows_has_docstrings(target: str, members: set[str]) -> None:
    path, member = source_of(target)
    assert not list(undocumented(parse(path), {member} if member else members))


def test_every_command_says_what_it_does() -> None:
    group = typer.main.get_command(app)
    assert not [command for command, entry in group.commands.items() if not entry.help]  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", [path for path in PACKAGES if path.parent.name == "algorithms"], ids=name)
def test_a_method_says_what_it_computes(path: Path) -> None:
    classes = [node for node in parse(path).body if isinstance(node, ast.ClassDef)]
    assert not [node.name for node in classes if not node.name.startswith("_") and not ast.get_docstring(node)]


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_annotations_are_not_evaluated(path: Path) -> None:
    body = [node for node in parse(path).body if not isinstance(node, ast.Expr)]
    if any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign) for node in body):
        assert isinstance(body[0], ast.ImportFrom) and body[0].module == "__future__"


def test_no_file_names_a_machine_s_folders_or_a_package_host() -> None:
    assert not lines_with(FOREIGN)


def test_the_former_name_is_in_the_change_log_alone() -> None:
    assert not lines_with(FORMER_NAME, "CHANGELOG.md")


def test_retired_words_do_not_come_back() -> None:
    assert not lines_with(RETIRED_WORD, "CHANGELOG.md")

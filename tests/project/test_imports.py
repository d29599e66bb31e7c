"""Imports: they run one way, a method imports the interface alone, and reading records does not wait for torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.submission.static_check import may_import

ROOT = Path(__file__).parents[2]

WITHOUT_TORCH = ("analysis", "records", "reports", "experiments.planner", "experiments.tuning", "cli")
READING = ("--help", "run --help", "board", "claims", "data status", "list tasks", "list datasets")


def module(path: Path) -> str:
    """Dotted name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = [path for package in ("benchmark", "algorithms") for path in sorted((ROOT / package).rglob("*.py"))]
MODULES = {module(path): path for path in FILES}


def imports(name: str, whole: bool = True) -> Iterator[str]:
    """Modules that a module imports, the project's by their full name; whole: also in functions and conditions."""
    tree = ast.parse(MODULES[name].read_text())
    for node in ast.walk(tree) if whole else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def test_imports_run_one_way() -> None:
    """The layers and their order are contracts in pyproject.toml."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_module_imports_itself_in_a_circle() -> None:
    known = {name: {other for other in imports(name, whole=False) if other in MODULES} for name in MODULES}
    while free := [name for name, needs in known.items() if not needs & (known.keys() - {name})]:
        for name in free:
            del known[name]
    assert not known, f"circle among {sorted(known)}"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("algorithms.")])
def test_a_method_imports_the_interface_torch_and_the_method_it_inherits_from(name: str) -> None:
    for other in imports(name):
        assert may_import(other), f"{name} imports {other}"


@pytest.mark.slow
def test_reading_records_does_not_import_torch() -> None:
    """Importing these modules, and running the commands that only read, in one process that counts as it goes."""
    script = f"""
import importlib, sys
from benchmark.cli import invoke
for name in {[name for name in MODULES if name.startswith(tuple(f"benchmark.{head}" for head in WITHOUT_TORCH))]}:
    importlib.import_module(name)
    assert "torch" not in sys.modules, name
for words in {READING}:
    assert invoke(words.split()) == 0, words
    assert "torch" not in sys.modules, words
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

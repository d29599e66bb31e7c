"""Imports run one way: the table of layers, what a method may import, and what must not wait for torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.conformance import may_import

ROOT = Path(__file__).parents[1]

# From top to bottom. A module imports from layers below its own, and from its own layer without going round in circles.
# A name stands for the module and everything in it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    (
        "campaign",
        "progress",
        "pipeline",
        "verify",
        "profile",
        "pace",
        "author",
        "doctor",
        "export",
        "executors",
        "regress",
    ),
    ("leaderboard", "tables", "curves", "verdicts", "claims", "findings", "tune", "report", "rerun", "audit", "flower"),
    ("running",),
    ("cell", "costs", "work"),
    (
        "suite",
        "bands",
        "stats",
        "catalog",
        "record",
        "audited",
        "conformance",
        "courses",
        "watch",
        "marks",
        "toy",
        "failures",
        "beforehand",
    ),
    ("core.engine", "core.judge", "core.golden", "core.golden_losses"),
    ("core.backends", "core.apart"),
    ("core.evaluate", "core.probe", "core.local", "core.teachers"),
    ("core.federation", "core.checkpoint", "core.ledger"),
    ("core.task", "core.model", "core.nets", "core.data", "core.wire"),
    ("core.api", "core.ops"),
    (
        "core.tree",
        "core.keys",
        "core.errors",
        "core.optim",
        "core.version",
        "core.files",
        "core.output",
        "core.splits",
        "core.parts",
        "core.sandbox",
        "core.reach",
        "core.heap",
        "core.sealed",
        "core.arithmetic",
        "places",
    ),
)
WITHOUT_TORCH = (
    "leaderboard", "tables", "curves", "claims", "verdicts", "costs", "work", "tune", "report", "suite", "stats",
    "record", "failures", "progress", "campaign", "cli",
)  # fmt: skip
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


def layer(name: str) -> int:
    """Number of a module's layer, counted from the top."""
    inner = name.removeprefix("benchmark.")
    found = [i for i, names in enumerate(LAYERS) for head in names if inner == head or inner.startswith(f"{head}.")]
    assert len(found) == 1, f"{name} stands in {len(found)} layers: give it one place in the table"
    return found[0]


PLACED = [name for name in MODULES if name.startswith("benchmark.") and name != "benchmark.core"]


@pytest.mark.parametrize("name", PLACED)
def test_a_module_imports_from_its_own_layer_or_from_below(name: str) -> None:
    inside = [other for other in imports(name) if other in PLACED]
    above = [other for other in inside if layer(other) < layer(name)]
    assert not above, f"{name} imports {above} from above"
    assert not [other for other in imports(name) if other.split(".")[0] == "algorithms"]


def test_no_module_imports_itself_in_a_circle() -> None:
    known = {name: {other for other in imports(name, whole=False) if other in PLACED} for name in PLACED}
    while free := [name for name, needs in known.items() if not needs & (known.keys() - {name})]:
        for name in free:
            del known[name]
    assert not known, f"circle among {sorted(known)}"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("algorithms.")])
def test_a_method_imports_the_interface_torch_and_the_method_it_inherits_from(name: str) -> None:
    for other in imports(name):
        assert may_import(other), f"{name} imports {other}"


def test_reading_records_does_not_import_torch() -> None:
    """Importing these modules, and running the commands that only read, in one process that counts as it goes."""
    script = f"""
import importlib, sys
from benchmark.cli import invoke
for name in {WITHOUT_TORCH}:
    importlib.import_module("benchmark." + name)
    assert "torch" not in sys.modules, name
for words in {READING}:
    assert invoke(words.split()) == 0, words
    assert "torch" not in sys.modules, words
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

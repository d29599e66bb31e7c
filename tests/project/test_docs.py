"""Tests of the documents: links, generated parts, and commands that a reader can really run."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmark.core import method_files

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [
    README,
    *sorted((ROOT / "docs").glob("*.ipynb")),
    *map(ROOT.joinpath, ("CONTRIBUTING.md", "AGENTS.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
FROM_ELSEWHERE = re.compile(r'(?:\bsrc|<link\b[^>]*\bhref)="(?:https?:)?//[^"]*"')


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """The script docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# mkdocs.yml is strict: a broken link fails the build
@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    build = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr
    pages = {path.relative_to(tmp_path).with_suffix(".md").as_posix() for path in tmp_path.rglob("*.html")}
    sources = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages - {"404.md"} == sources | {"leaderboard.md", "claims.md", "schema.md", "data.md", "report.md"}
    assert not [link for page in tmp_path.rglob("*.html") for link in FROM_ELSEWHERE.findall(page.read_text())]
    interface = (tmp_path / "interface.html").read_text()
    assert "global_model" in interface
    assert interface.count("doc-section-title") > 10  # headings of tables of arguments, attributes and returns


def test_generated_parts_are_current(generate: ModuleType) -> None:
    message = "run `make pages`"
    assert generate.COMMANDS.read_text() == generate.commands(), message
    for page, table in ((README, generate.best_methods()), (generate.DEFINITIONS, generate.metrics())):
        assert page.read_text() == generate.with_table(page.read_text(), table), message


def test_the_best_methods_are_ranked_without_controls(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = tmp_path / "results" / "tables"
    tables.mkdir(parents=True)
    rows = [
        "method,comparable,accuracy,accuracy_interval,mb_up,mb_down",
        "central,True,90,1,0,0",
        "fedavg,True,10,1,1,1",
        "moon,True,30.04,2.06,1500,2",
        "fd,True,,,,",
        "fedntd,False,99,1,1,1",
        "fedlc,True,40,1,3,4",
        "fedprox,True,20,1,1,1",
        "feddyn,True,35,1,1,1",
    ]
    (tables / "here.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "BOARDS", {"global": "here"})
    columns = generate.best_methods().splitlines()[-1].split(" | ")
    assert columns == [
        "| global, here",
        "[fedlc](algorithms/fedlc.py) 40.0 ± 1.0, 7 MB",
        "[feddyn](algorithms/feddyn.py) 35.0 ± 1.0, 2 MB",
        "[moon](algorithms/moon.py) 30.0 ± 2.1, 1,502 MB",
        "[fedavg](algorithms/fedavg.py) 10.0 ± 1.0, 2 MB |",
    ]


def test_the_readme_is_short_and_begins_with_results_and_commands() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= 90
    head = "\n".join(lines[:60])
    assert "LEADERBOARD.md" in head and "\nmake bench " in head and "\nmake test " in head


def test_the_readme_lists_every_method() -> None:
    text = README.read_text()
    assert not [name for name in method_files.names() if f"(algorithms/{name}.py)" not in text]


def test_the_readme_s_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text())
    assert not [target for target in targets if not (ROOT / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_installs_from_the_package_index(page: Path) -> None:
    """The package is not on the index: a checkout ('.[report]') or the wheel's file is what installs it."""
    assert not re.findall(r"pip install[^\n`]*\bfedrepro(?![\w.-]*\.whl)", page.read_text())

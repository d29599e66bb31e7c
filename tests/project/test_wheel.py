"""Tests of the installed wheel: it contains all files and runs cells in any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FILES = ("pyproject.toml", "README.md", "LICENSE")
PACKAGES = ("benchmark", "algorithms", "fedrepro")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed, without what it needs."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    wheels = source / "wheels"
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(wheels), str(source)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = wheels.glob("fedrepro-*.whl")
    install = ["install", "--no-deps", "--no-index", "--no-compile", "--target", str(site), str(wheel)]
    subprocess.run([*pip, *install], check=True)
    return site


def run(site: Path, folder: Path, *words: str) -> str:
    """Output of the installed program in a folder."""
    environment = os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", "-c", "import fedrepro; from benchmark.cli import main; main()", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_file_of_the_packages(site: Path) -> None:
    held = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()]
    ours = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert ours - held == set()
    assert (site / "bin" / "fedrepro").exists()


def test_records_are_written_to_the_working_folder(site: Path, tmp_path: Path) -> None:
    lines = run(site, tmp_path, "run", "fedavg", "--task", "digits-shards", "--workers", "1", "--json").splitlines()
    made = json.loads(lines[-1])
    assert made == json.loads((tmp_path / "results" / "digits-shards" / "fedavg" / "0.json").read_text())
    (row,) = json.loads(run(site, tmp_path, "board", "--json"))["digits-shards"]
    assert row["method"] == "fedavg" and row["remarks"] == "1 of 3 seeds"
    assert "as a package, records in results" in run(site, tmp_path, "doctor")


def test_own_methods_are_found_in_the_working_folder_and_in_a_named_one(site: Path, tmp_path: Path) -> None:
    assert run(site, tmp_path, "new", "mine").startswith("algorithms/mine.py: ")
    words = ["run", "mine", "--task", "digits-shards", "--rounds", "1", "--workers", "2", "--out", "trial"]
    assert "mine seed 0: accuracy" in run(site, tmp_path, *words)
    (tmp_path / "algorithms").rename(tmp_path / "elsewhere")
    assert "mine" in run(site, tmp_path, "list", "methods", "--algorithms", "elsewhere").split()

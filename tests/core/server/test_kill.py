"""SIGKILL at random moments: what was committed stays, the same command goes on, and the bits are the same."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.records import store
from benchmark.reports import pages
from helpers.handmade_records import example_results, make
from helpers.handmade_records import write as put
from helpers.killable_jobs import JobServer
from helpers.reliability_figures import Figures

pytestmark = pytest.mark.slow

TASK = """
track: global
tier: quick
dataset: digits
split: {kind: shards, shards: 2}
clients: 10
cohort: 2
rounds: 5
networks: [mlp]
train: {batch: 20, optimiser: {lr: 0.05, momentum: 0.9}}
evaluate_every: 2
"""
KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def jobs() -> Iterator[JobServer]:
    """One for all: it has imported everything."""
    with JobServer() as made:
        yield made


@pytest.fixture
def task(tmp_path: Path) -> str:
    """SCAFFOLD's server and clients both keep memories on it."""
    (tmp_path / "tiny.yaml").write_text(TASK)
    return str(tmp_path / "tiny.yaml")


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, also of hidden ones, but for the note on how a record was obtained."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): "" if path.name.endswith(".run.json") else _sha256(path) for path in files
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.reliability)])
def test_a_killed_cell_goes_on_to_the_same_bits(
    kills: int, task: str, tmp_path: Path, jobs: JobServer, figures: Figures
) -> None:
    """Every second kill comes from outside after a random time, the others at a random operation on a file."""
    begun = time.monotonic()
    assert jobs.end(jobs.start("cell", task, "scaffold", str(tmp_path / "whole"), folder=tmp_path))[0] == 0
    seconds, whole = time.monotonic() - begun, hashes(tmp_path / "whole")
    assert sorted(whole) == ["tiny/scaffold/0.json", "tiny/scaffold/0.run.json"]
    draw, died, cells = random.Random("kill a cell"), 0, 0
    while died < kills:
        cells += 1
        results = tmp_path / f"cut {cells}"
        for _ in range(100):
            step = draw.randrange(1, 80) if draw.random() < 0.5 else 0
            pid = jobs.start("cell", task, "scaffold", str(results), folder=results, step=step)
            if not step:
                time.sleep(draw.uniform(0, seconds))
                os.kill(pid, signal.SIGKILL)
            status, said = jobs.end(pid)
            assert status in (0, KILLED), said
            assert not [entry.reason for entry in store.read_all(results) if entry.reason]  # none is half there
            died += status == KILLED
            if status == 0 or died >= kills:
                break
        jobs.end(jobs.start("cell", task, "scaffold", str(results), folder=results))
        assert hashes(results) == whole
    figures("1", "SIGKILL while training, saving checkpoints and writing records", f"{died} kills in {cells} cells, "
            f"all resumed to the same SHA-256")  # fmt: skip


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.reliability)])
def test_a_killed_board_is_the_old_or_the_new_one(
    kills: int, tmp_path: Path, jobs: JobServer, figures: Figures
) -> None:
    results = example_results(tmp_path / "suite")
    pages.write(results)
    put(results, make("fedntd", 3, 0.62))
    fresh = example_results(tmp_path / "fresh" / "suite")
    put(fresh, make("fedntd", 3, 0.62))
    old, draw, died = hashes(tmp_path / "suite"), random.Random("kill the board"), 0
    pages.write(fresh)
    new = hashes(fresh.parent)
    tables = [name for name in new if name.endswith((".csv", ".md"))]
    before = {name: (results.parent / name).read_bytes() for name in tables}
    while died < kills:
        for name, content in before.items():
            (results.parent / name).write_bytes(content)
        step = draw.randrange(1, 60)
        status, said = jobs.end(jobs.start("board", str(results), folder=tmp_path / "suite", step=step))
        assert status in (0, KILLED), said
        died += status == KILLED
        found = hashes(results.parent)
        assert all(found[name] in (old[name], new[name]) for name in tables)
        assert jobs.end(jobs.start("board", str(results), folder=tmp_path / "suite"))[0] == 0
        assert hashes(results.parent) == new  # and no temporary file is left
    figures("1", "SIGKILL while writing the board", f"{died} kills, every file the old or the new one")


def test_two_processes_do_not_run_the_same_cell_and_a_dead_one_holds_nothing(
    task: str, tmp_path: Path, jobs: JobServer
) -> None:
    Path(task).write_text(TASK.replace("rounds: 5", "rounds: 2000"))
    results = tmp_path / "results"
    lock = results / "tiny" / "scaffold" / ".0.run" / "lock"
    first = jobs.start("cell", task, "scaffold", str(results), folder=results)
    while not (lock.exists() and lock.read_text()):
        time.sleep(0.01)
    status, said = jobs.end(jobs.start("cell", task, "scaffold", str(results), folder=results))
    assert status == 1 and f"process {first} on " in said and "runs this cell; wait for it" in said
    os.kill(first, signal.SIGKILL)
    assert jobs.end(first)[0] == KILLED
    third = jobs.start("cell", task, "scaffold", str(results), folder=results)
    while not lock.read_text().startswith(f"process {third} on "):
        time.sleep(0.01)
    os.kill(third, signal.SIGKILL)
    assert jobs.end(third)[0] == KILLED

"""A command that is refused, fails, is interrupted or killed leaves the records as they were."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import benchmark
from benchmark import paths
from benchmark.cli import invoke
from benchmark.core.errors import BenchmarkError
from benchmark.experiments.cell import Cell
from benchmark.experiments.progress import Lines
from benchmark.experiments.run import run
from benchmark.records import store
from helpers.handmade_records import make, write

pytestmark = pytest.mark.slow
TASK = "digits-shards"
NO_DATA = "cifar10-shards"  # tests have no mirror
BREAKS = """
from dataclasses import dataclass
from benchmark.core.api import Algorithm

@dataclass(frozen=True)
class Breaks(Algorithm):
    def aggregate(self, server, uploads, phase, hub, key):
        return 1 / 0
"""


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder by path; None: a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's folder with stale records, in place of this one's, and a method that raises."""
    results = tmp_path / "checkout" / "results"
    write(results, make("fedavg", 0), make("breaks", 0), make("fedavg", 0, task=NO_DATA))  # of methods that changed
    (results / "claims.yaml").write_text("sources: []\n")
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "breaks.py").write_text(BREAKS)
    monkeypatch.setenv(paths.OWN, str(tmp_path / "methods"))
    for name, module in list(sys.modules.items()):
        if name.startswith("benchmark"):
            for constant, path in (("RESULTS", results), ("ROOT", results.parent), ("BENCH", results.parent / "bench")):
                if isinstance(getattr(module, constant, None), Path):
                    monkeypatch.setattr(module, constant, path)
    return results.parent


REFUSED = [
    f"run fedavg --task {NO_DATA}",
    f"run fedavg --task {TASK} --ray auto --backend stacked",
    f"run fedavg --task {TASK} --backend stacked --device tpu",
    f"run fedavg --task {TASK} --backend stacked --graphs",
    f"run fedavg --task {TASK} --device cuda",
    f"run fedavg --task {TASK} --precision tf32 --out results",
    f"run fedavg --task {TASK} --set beta=1 --out elsewhere",
    f"run fedavg --task {TASK} --audit",  # an audit compares with a valid record
    f"run fedavg --task {TASK} --out results",  # only results/ itself takes a successor
    f"run fedavg --task {TASK} --rounds 2",
    f"tune fedavg --task {NO_DATA}",
    "tune fedmd --task digits-unsup --out elsewhere",
    "bench --methods fedavgg",
    "bench --seeds one",
    f"campaign --tasks {TASK} --methods fedavg --executor ray",
    f"campaign --tasks {TASK} --methods fedavg --executor slurm",
    f"flower fedavg --task {TASK}",
    f"export results/{TASK}/fedavg/0.json --tensorboard boards",
    "report --results results --out report.html",
    "golden nowhere.npz",
    "data get svhn",
    "data pack svhn mirror",
    "new fedavg",
    "verify fedavg",
    f"verify --rerun {TASK}/fedavg",
    "regress --base no-such-revision --methods fedavg",
]
EXTRAS = ("ray", "submitit", "flwr", "altair", "torch.utils.tensorboard")


@pytest.mark.parametrize("words", REFUSED)
def test_a_refused_command_changes_nothing(
    words: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    for extra in EXTRAS:
        monkeypatch.setitem(sys.modules, extra, None)  # as where it is not installed
    before = contents(root)
    assert invoke(words.split()) == 2
    assert capsys.readouterr().err.startswith("fedrepro: ") and contents(root) == before


@pytest.mark.parametrize(
    "words",
    [
        f"run breaks --task {TASK} --workers 1",
        f"run breaks --task {TASK} --workers 1 --backend stacked",
        f"campaign --tasks {TASK} --methods breaks --seeds 0 --workers 1",
        f"tune breaks --task {TASK} --workers 1",
        "rebuild",  # whose records are stale
    ],
)
def test_a_failed_command_changes_nothing(words: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    before = contents(root)
    assert invoke(words.split()) == 1 and contents(root) == before


def test_an_interrupted_command_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*event: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Lines, "round", interrupt)
    before = contents(root)
    for words in (f"run fedavg --task {TASK} --workers 1", f"tune fedavg --task {TASK} --workers 1"):
        assert invoke(words.split()) == 1 and contents(root) == before


def test_a_killed_run_leaves_the_record_and_the_next_one_replaces_it(root: Path) -> None:
    results = root / "results"
    before = contents(results)
    script = f"""
import os, signal
from pathlib import Path
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import run
run(Cell({TASK!r}, "fedavg"), Path({str(results)!r}), replace=True, observer=lambda event: os.kill(os.getpid(), 9))
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=paths.SHIPPED.parent, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    scratch = f"{TASK}/fedavg/.0.run"
    assert {name: data for name, data in contents(results).items() if not name.startswith(scratch)} == before
    record = run(Cell(TASK, "fedavg"), results, replace=True)
    assert store.read(results / TASK / "fedavg" / "0.json") == record and not (results / scratch).exists()
    assert run(Cell(TASK, "fedavg"), results, observer=lambda event: pytest.fail("ran again")) == record


@pytest.mark.parametrize(
    "change",
    [
        lambda: benchmark.run("fedavg", NO_DATA),
        lambda: benchmark.run("fedavg", TASK, precision="tf32"),
        lambda: benchmark.run("fedavg", TASK, seed=-1),
        lambda: benchmark.run("breaks", TASK),
    ],
)
def test_python_changes_nothing_either(change: Callable[[], object], root: Path) -> None:
    before = contents(root)
    with pytest.raises(BenchmarkError):
        change()
    assert contents(root) == before

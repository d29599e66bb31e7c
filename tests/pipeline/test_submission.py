"""`fedrepro submit`: from a method's file to a branch with one commit, in a small checkout that really trains."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.pipeline.submission import Submission, body
from benchmark.records.index import ResultsIndex
from helpers.handmade_records import TASK, example_results

ROOT = Path(__file__).parents[2]
SETTING = """
track: global
tier: quick
dataset: digits
split: {kind: iid}
clients: 4
cohort: 2
rounds: 2
networks: [mlp]
train: {batch: 20, optimiser: {lr: 0.1}}
"""


def _run(root: Path, *command: str, code: int = 0) -> str:
    environment = os.environ | {"PYTHONPATH": str(root), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    names = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(command, cwd=root, env=environment | names, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with a commit, and changes of FedProx alone."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")
    (tmp_path / "README.md").write_text("suite\n")
    _run(tmp_path, "git", "init", "-q", "-b", "main")
    _run(tmp_path, "git", "add", "-A")
    _run(tmp_path, "git", "commit", "-qm", "suite")
    for name in ("algorithms/fedprox.py", f"results/{TASK}/fedprox/0.json", "LEADERBOARD.md", "tests/test_fedprox.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_submission_is_one_commit_on_a_branch_of_its_own(checkout: Path) -> None:
    submission = Submission(checkout, "fedprox")
    submission.refuse_other_changes()
    paths = submission.commit("fedprox: a title\n\nA body.\n")
    assert sorted(paths) == [
        "LEADERBOARD.md", "algorithms/fedprox.py", f"results/{TASK}/fedprox/0.json", "tests/test_fedprox.py",
    ]  # fmt: skip
    assert submission.git("branch", "--show-current") == "submit-fedprox\n" and submission.changes() == []
    assert submission.git("log", "--format=%s", "main..") == "fedprox: a title\n"
    with pytest.raises(BenchmarkError, match="nothing of fedprox has changed"):
        submission.commit("again")


@pytest.mark.parametrize("other", ["algorithms/fedavg.py", f"results/{TASK}/fedavg/0.json", "README.md"])
def test_a_tree_with_other_changes_is_refused(checkout: Path, other: str) -> None:
    (checkout / other).parent.mkdir(parents=True, exist_ok=True)
    (checkout / other).write_text("changed")
    with pytest.raises(BenchmarkError, match=f"other files have changed: {other}"):
        Submission(checkout, "fedprox").refuse_other_changes()


def test_a_branch_that_is_taken_is_refused_before_anything_runs(checkout: Path) -> None:
    _run(checkout, "git", "branch", "submit-fedprox")
    with pytest.raises(BenchmarkError, match="there is a branch submit-fedprox already"):
        Submission(checkout, "fedprox").refuse_other_changes()


def test_a_method_elsewhere_is_refused(checkout: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"outside of the suite; move the file into algorithms/"):
        Submission(checkout, str(checkout / "algorithms" / "fedprox.py"))


def test_the_body_has_a_row_per_task(tmp_path: Path) -> None:
    index = ResultsIndex.load(example_results(tmp_path))
    lines = body(index, "fedntd", ROOT / "algorithms" / "fedntd.py").splitlines()
    assert lines[0].startswith("fedntd: ") and lines[1] == ""
    (row,) = [line for line in lines if line.startswith(f"| {TASK} ")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "3" and cells[2].startswith("62.0 ± ") and cells[3] == "52.0"  # as test_python_interface has it


@pytest.mark.slow
def test_a_method_becomes_a_pull_request(tmp_path: Path) -> None:
    root = tmp_path / "suite"
    for name in ("benchmark", "algorithms", "fedrepro"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvcignore", "dvc.yaml", "params.yaml", "results/claims.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for path in (root / "algorithms").glob("[a-z]*.py"):
        if path.stem != "fedavg":
            path.unlink()
    for path in (root / "benchmark" / "tasks").glob("*.yaml"):
        path.unlink()
    (root / "benchmark" / "tasks" / "tiny.yaml").write_text(SETTING)
    (root / ".gitignore").write_text("__pycache__/\n")
    program = (sys.executable, "-m", "fedrepro")
    for seed in "012":
        _run(root, *program, "run", "fedavg", "--task", "tiny", "--seed", seed)
    _run(root, *program, "rebuild")
    _run(root, "git", "init", "-q")
    _run(root, "git", "add", "-A")
    _run(root, "git", "commit", "-qm", "suite")

    text = (ROOT / "algorithms" / "fedprox.py").read_text()
    broken = text.replace("from benchmark.core", "import os\nfrom benchmark.core", 1)
    (root / "algorithms" / "mine.py").write_text(broken)
    assert "mine breaks" in _run(root, *program, "submit", "mine", code=2)  # and nothing else was done
    assert not (root / "results" / "tiny" / "mine").exists()
    (root / "algorithms" / "mine.py").write_text(text)
    printed = _run(root, *program, "submit", "mine")
    assert [f"{step}/7 " in printed for step in range(1, 8)] == [True] * 7
    assert "git push -u origin submit-mine" in printed
    changed = _run(root, "git", "diff", "--name-only", "HEAD~1").split()
    own = [path for path in changed if "mine" in path]
    assert {"algorithms/mine.py", "results/methods/mine.json", "results/tiny/mine/0.json"} <= set(own)
    assert sorted(set(changed) - set(own)) == [
        "LEADERBOARD.md",
        "docs/boards/tiny.md",
        "docs/pictures/tiny.svg",
        "dvc.lock",
        "results/curves/tiny.csv",
        "results/tables/tiny.csv",
    ]
    assert '"audit"' in (root / "results" / "tiny" / "mine" / "0.run.json").read_text()
    assert _run(root, "git", "status", "--short") == ""

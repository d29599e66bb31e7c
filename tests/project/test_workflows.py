"""Tests of the workflows: what a pull request starts, and that a submission's code has no rights."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

GITHUB = Path(__file__).parents[2] / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
METHOD = "from algorithms.{parent} import {name}\n\n\nclass Method({name}):\n    pass\n"
Change = Callable[[Path], None]


def git(folder: Path, *words: str) -> str:
    """Run git in a scratch repository, whatever the user's settings."""
    facts = ["-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *facts, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """algorithms/: fedavg; fedlc inherits from _loss; moon inherits from fedlc. results/: one record."""
    (tmp_path / "algorithms").mkdir()
    for name, parent in (("fedavg", "__init__"), ("fedlc", "_loss"), ("moon", "fedlc")):
        (tmp_path / "algorithms" / f"{name}.py").write_text(METHOD.format(parent=parent, name="Parent"))
    (tmp_path / "algorithms" / "_loss.py").write_text("class Parent:\n    pass\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "0.json").write_text("{}\n")
    (tmp_path / "benchmark.py").write_text("\n")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "base")
    return tmp_path


def changes(repository: Path, change: Change) -> tuple[int, dict[str, str], str]:
    """Exit code, outputs and messages of the script on a pull request with one change."""
    base = git(repository, "rev-parse", "HEAD")
    change(repository)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "change")
    command = [sys.executable, str(GITHUB / "changes.py"), base, "HEAD"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    return done.returncode, dict(line.split("=", 1) for line in done.stdout.splitlines()), done.stderr


def write(path: str, text: str = "x = 1\n") -> Change:
    """A change that writes a file."""

    def change(repository: Path) -> None:
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text)

    return change


def rename(old: str, new: str, addition: str = "") -> Change:
    """A change that renames a file and adds a line to it."""

    def change(repository: Path) -> None:
        text = (repository / old).read_text()
        (repository / old).unlink()
        (repository / new).write_text(text + addition)

    return change


@pytest.mark.parametrize(
    ("change", "methods", "records", "code"),
    [
        (write("algorithms/mine.py"), "mine", "false", "false"),
        (write("algorithms/fedavg.py"), "fedavg", "false", "false"),
        (rename("algorithms/moon.py", "algorithms/moon_2.py", "EVIL = 1\n"), "moon_2", "false", "false"),
        (rename("algorithms/moon.py", "algorithms/moon_2.py"), "moon_2", "false", "false"),
        (write("algorithms/_loss.py"), "fedlc,moon", "false", "false"),
        (write("algorithms/broken.py", "class ("), "broken", "false", "false"),
        (write("results/0.json", '{"accuracy": 1}\n'), "", "true", "false"),
        (write("LEADERBOARD.md", "95.99\n"), "", "true", "false"),
        (write("tests/test_mine.py"), "", "false", "false"),
        (write("benchmark.py"), "", "false", "true"),
        (write(".github/changes.py"), "", "false", "true"),
    ],
)
def test_what_a_change_starts(repository: Path, change: Change, methods: str, records: str, code: str) -> None:
    outcome = changes(repository, change)
    assert outcome == (0, {"methods": methods, "records": records, "code": code}, "")


@pytest.mark.parametrize(
    "path",
    [
        "algorithms/fedavg fedprox.py",
        "algorithms/--help.py",
        "algorithms/weights.bin",
        "algorithms/below/hidden.py",
        "algorithms/fedavg\nmethods=fedavg.py",
        "algorithms/a;id.py",
        "algorithms/$(id).py",
        "algorithms/Ä.py",
    ],
)
def test_a_file_that_no_method_has_is_refused(repository: Path, path: str) -> None:
    code, outputs, message = changes(repository, write(path))
    assert (code, outputs) == (1, {}) and message.count("\n") == 1 and message.startswith(repr(path))


def test_a_link_is_refused(repository: Path) -> None:
    code, outputs, message = changes(
        repository, lambda folder: (folder / "results" / "1.json").symlink_to("/etc/passwd")
    )
    assert (code, outputs) == (1, {}) and "is a link" in message


def test_what_a_submission_prints_stays_in_its_block() -> None:
    text = "accuracy\n```\n# All checks passed\n`````\n\x1b[2J\u202e<b>\n"
    script = [sys.executable, str(GITHUB / "comment.py")]
    lines = subprocess.run(script, input=text, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[2] == "``````text" and lines[-1] == "``````"  # one more than the longest run inside
    assert lines[3:-1] == ["accuracy", "```", "# All checks passed", "`````", "[2J<b>"]


def test_a_long_text_is_cut() -> None:
    script = [sys.executable, str(GITHUB / "comment.py")]
    page = subprocess.run(script, input="a" * 100_000, capture_output=True, text=True, check=True).stdout
    assert len(page) < 20_200 and "(cut after 20,000 characters)" in page


@pytest.mark.parametrize(
    ("method", "task"), [("fedavg", "digits-mixed"), ("finetune", "digits-personal"), ("fedsimclr", "digits-unsup")]
)
def test_the_task_of_an_audit_is_the_first_quick_one_that_a_method_applies_to(
    method: str, task: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["first_task.py", method])
    runpy.run_path(str(GITHUB / "first_task.py"))
    assert capsys.readouterr().out.strip() == task


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_no_token_is_left_behind(path: Path) -> None:
    for line in re.findall(r"uses: *(.*)", path.read_text()):
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v[\d.]+", line), line
    jobs: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    for step in (step for job in jobs.values() for step in job["steps"]):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_event_s_text_gets_into_a_shell(path: Path) -> None:
    jobs: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    assert not [step for job in jobs.values() for step in job["steps"] if "${{" in step.get("run", "")]


def test_a_job_that_may_write_runs_the_base_revision_alone() -> None:
    jobs: dict[str, Any] = yaml.safe_load((GITHUB / "workflows" / "submission.yml").read_text())["jobs"]
    assert jobs["judge"]["permissions"] == {"contents": "read"}
    assert "token" not in str(jobs["judge"]["steps"])
    checkouts = [step["with"] for step in jobs["post"]["steps"] if "checkout" in step.get("uses", "")]
    assert [entry["ref"] for entry in checkouts] == ["${{ github.event.pull_request.base.sha }}"]

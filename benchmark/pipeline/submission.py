"""A submission: what belongs to a method, a branch with one commit of it, and the body of its pull request."""

from __future__ import annotations

import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from benchmark.analysis.tables import REFERENCE, table
from benchmark.core import method_files
from benchmark.core.errors import BenchmarkError
from benchmark.core.version import ENGINE
from benchmark.paths import SHIPPED
from benchmark.records.index import ResultsIndex

OWN = (
    "algorithms/{name}.py",
    "tests/test_{name}.py",
    "tests/*/test_{name}.py",
    "results/methods/{name}.json",
    "results/*/{name}/*",
    "results/*/tuning/{name}.json",
    "results/*/.{name}.run/*",
)
GENERATED = (
    "LEADERBOARD.md",
    "CLAIMS.md",
    "dvc.lock",
    "docs/boards/*",
    "docs/papers/*",
    "docs/pictures/*",
    "docs/findings.md",
    "results/tables/*",
    "results/metrics/*",
    "results/curves/*",
)
"""What `fedrepro rebuild` and `fedrepro findings` write from all records."""


class Submission:
    """The submission of one method from a checkout.

    Args:
        root: The checkout.
        method: Name of the method.

    Raises:
        BenchmarkError: The method is not among the suite's, or this is no git checkout.
    """

    def __init__(self, root: Path, method: str) -> None:
        self.root, self.method, self.branch = root, method, f"submit-{method}"
        path = method_files.find(method)
        if path.parent != SHIPPED.resolve():
            raise BenchmarkError(f"{path} is outside of the suite", hint="move the file into algorithms/")
        self.git("rev-parse", "--git-dir")

    def git(self, *words: str) -> str:
        """Run git and return what it printed; BenchmarkError with its last line if it fails."""
        done = subprocess.run(
            ["git", *words], cwd=self.root, capture_output=True, text=True, check=False, encoding="utf-8"
        )
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            message = f"`git {' '.join(words[:2])}` failed: {''.join(last)}"
            raise BenchmarkError(message, hint="a submission is made in a git checkout of the suite", user=False)
        return done.stdout

    def changes(self) -> list[str]:
        """Paths that differ from the last commit, new ones too."""
        entries = self.git("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames").split("\0")
        return [entry[3:] for entry in entries if entry]

    def belongs(self, path: str) -> bool:
        """Whether a path is the method's own, or is written from all records."""
        return any(fnmatch(path, pattern.format(name=self.method)) for pattern in (*OWN, *GENERATED))

    def refuse_other_changes(self) -> None:
        """Raise BenchmarkError if anything else has changed, or if the branch is taken."""
        if others := [path for path in self.changes() if not self.belongs(path)]:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            message = f"other files have changed: {', '.join(others[:3])}{more}"
            raise BenchmarkError(message, hint="commit or stash them first; a submission is one method")
        current = self.git("branch", "--show-current").strip()
        if self.git("branch", "--list", self.branch).strip() and current != self.branch:
            hint = f"`git checkout {self.branch}` to go on with it, or delete it"
            raise BenchmarkError(f"there is a branch {self.branch} already", hint=hint)

    def commit(self, body: str) -> list[str]:
        """Commit the submission on its branch, which is made if need be; returns the paths in the commit."""
        paths = [path for path in self.changes() if self.belongs(path)]
        if not paths:
            raise BenchmarkError(f"nothing of {self.method} has changed", hint="it is in the last commit already")
        if self.git("branch", "--show-current").strip() != self.branch:
            self.git("checkout", "-q", "-b", self.branch)
        self.git("add", "--all", "--", *paths)
        self.git("commit", "-q", "-m", body)
        return paths


def body(index: ResultsIndex, method: str, source: Path) -> str:
    """The message of the commit, whose first line is the title of the pull request and the rest its body.

    Args:
        index: The records.
        method: The method.
        source: Its file.
    """
    facts = index.methods[method]
    rows = []
    for name in sorted(task for task, of in index.records if of == method):
        frame = table(index, index.tasks[name]).set_index("method")
        rows.append(
            _row(name, frame.loc[[method]].iloc[0], frame.loc[[REFERENCE]] if REFERENCE in frame.index else None)
        )
    lines = len(source.read_text(encoding="utf-8").splitlines())
    return "\n".join(
        [
            f"{method}: {facts.title.removeprefix(f'{method}: ').rstrip('.')}",
            "",
            f"Paper: {facts.paper or 'none'}. Tracks: {', '.join(facts.track)}. One file of {lines} lines.",
            "",
            "| task | seeds | accuracy, % | FedAvg, % | MB up + down | settings |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"Checked, audited on its first cell and verified by `fedrepro submit`, engine {ENGINE}.",
            "",
        ]
    )


def _row(task: str, row: Any, reference: Any) -> str:
    fedavg = "" if reference is None else f"{reference['accuracy'].iloc[0]:.1f}"
    accuracy = f"{row['accuracy']:.1f}" + (f" ± {row['accuracy_interval']:.1f}" if row["seeds"] > 1 else "")
    traffic = f"{row['mb_up'] + row['mb_down']:.1f}"
    return f"| {task} | {row['seeds']} | {accuracy} | {fedavg} | {traffic} | {row['settings']} |"

"""Trains cells with the code of another revision, or of any source tree, in processes of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from benchmark.core.errors import BenchmarkError
from benchmark.experiments.cell import Cell
from benchmark.experiments.progress import label

SCRIPT = """
import json, sys
answers, sys.stdout = sys.stdout, sys.stderr
import benchmark
for line in sys.stdin:
    cell = json.loads(line)
    try:
        benchmark.run(cell["method"], task=cell["task"], seed=cell["seed"], out=sys.argv[1])
        error = ""
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    print(json.dumps(error), file=answers, flush=True)
"""
"""What a process runs: cells come through stdin, why a cell failed goes back. `benchmark.run` is in every revision."""


def export(root: Path, name: str, folder: Path) -> None:
    """Write the files of a revision into a folder; raises BenchmarkError if git does not know it."""
    command = ["git", "-C", str(root), "archive", "--format=tar", "--end-of-options", name]
    try:
        archive = subprocess.run(command, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise BenchmarkError("git is not installed", hint="install it: --base reads a revision") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()[0]
        message = f"--base {name} is no revision of this checkout ({reason})"
        raise BenchmarkError(message, hint="name a branch, a tag or a commit") from None
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")


def train(tree: Path, cells: Sequence[Cell], out: Path, workers: int, report: Callable[[str], None]) -> dict[str, str]:
    """Train cells with the code of a source tree.

    Args:
        tree: Root of a checkout.
        cells: What to train, by names of tasks and methods.
        out: Folder for the records.
        workers: Processes, one thread each.
        report: Told of every cell that is over.

    Returns:
        Why cells failed, by label.
    """
    waiting, errors = deque(cells), dict[str, str]()

    def work() -> None:
        while waiting:
            with _process(tree, out) as process, suppress(IndexError):  # another thread took the last cell
                while process.poll() is None:
                    cell = waiting.popleft()
                    if error := _ask(process, cell):
                        errors[label(cell)] = error
                    report(f"{label(cell)}{f': {error}' if error else ''}")

    with ThreadPoolExecutor(workers) as threads:
        try:
            for future in [threads.submit(work) for _ in range(workers)]:
                future.result()
        finally:
            waiting.clear()
    return errors


def _process(tree: Path, out: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(out)],
        cwd=tree,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )


def _ask(process: subprocess.Popen[str], cell: Cell) -> str:
    assert process.stdin and process.stdout
    try:
        request = {"task": cell.task, "method": cell.algorithm, "seed": cell.seed}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())
    except (BrokenPipeError, ValueError):
        return f"its process ended unexpectedly (exit code {process.wait()})"

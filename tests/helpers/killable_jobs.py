"""A server of jobs in processes that may be killed; it forks a child per job, which is faster than starting Python."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WRITING = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")


class JobServer:
    """Starts jobs and reports how they ended."""

    def __init__(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, __file__], text=True, **pipes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.process.communicate()

    def _request(self, order: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, job: str, *words: str, folder: Path, step: int = 0) -> int:
        """Start a job and return its process id.

        Args:
            job: "cell" or "board".
            words: Arguments of the job.
            folder: Folder whose file operations are counted.
            step: The job kills itself at this operation on a file below the folder; 0 for never.
        """
        return int(self._request({"job": job, "words": words, "folder": str(folder), "step": step}))

    def end(self, pid: int) -> tuple[int, str]:
        """Wait for a job: its exit status (negative if it was killed) and its result or error."""
        status, result = self._request({"wait": pid})
        return status, result


def _serve() -> None:
    from benchmark.core.data.loading import load
    from benchmark.core.server import rounds
    from benchmark.experiments import cell, run
    from benchmark.reports import pages

    rounds.CHECKPOINT_SECONDS = -1.0  # a checkpoint after every round
    load("digits")
    jobs = {
        "cell": lambda task, method, results: run.run(cell.Cell(task, method), Path(results)).status,
        "board": lambda results: str(pages.write(Path(results))),
    }
    results: dict[int, int] = {}  # pipes by process id
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            with os.fdopen(results.pop(order["wait"])) as result:
                print(json.dumps([os.waitstatus_to_exitcode(status), result.read()]), flush=True)
            continue
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            _child(jobs[order["job"]], order, writer)
        os.close(writer)
        results[pid] = reader
        print(pid, flush=True)


def _child(job: Any, order: Any, writer: int) -> None:
    if order["step"]:
        _die_at(order["step"], order["folder"])
    try:
        result, code = job(*order["words"]), 0
    except BaseException as error:
        result, code = f"{type(error).__name__}: {error}", 1
    os.write(writer, result.encode())
    os._exit(code)


def _die_at(step: int, folder: str) -> None:
    steps = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal steps
        if event in WRITING and str(arguments[0]).startswith(folder):
            steps += 1
            if steps == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


if __name__ == "__main__":
    _serve()

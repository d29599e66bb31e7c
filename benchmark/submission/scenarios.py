"""The ways of running a method on toy data that must leave the same; runs inside a sandboxed process."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Phase
from benchmark.core.backends import Backend, Job, Results, SerialBackend, WorkerConfig, client_jobs
from benchmark.core.backends.stacked import StackedBackend
from benchmark.core.client.federation import Federation
from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.isolation.audit_hook import Refused, under_way
from benchmark.core.isolation.child import Line, Reply
from benchmark.core.server.rounds import Run
from benchmark.core.storage import checkpoint, serialization
from benchmark.core.tree import Tree
from benchmark.submission.instrumented import InstrumentedAlgorithm
from benchmark.submission.toy_task import toy_federation

TOLERANCE = 1e-3  # between backends, of values up to 1
CHECKS = ("run", "messages", "purity", "state", "reach", "budget", "randomness", "order", "resume", "stacked", "apart")
OBSERVED = ("messages", "purity", "state", "reach", "budget")  # on the way, not by a course of their own
REMEDIES = {
    "randomness": "draw from the keys that are handed in: no random, np.random, torch generators of the process, clock",
    "order": "keep what a client leaves in the memory that `finish` returns: clients must not see each other's work",
    "resume": "keep everything in the memories that `finish` and `aggregate` return: only they are in a checkpoint",
    "stacked": "use tensor operations that know nothing of other clients, and batch.mask in every mean",
    "apart": "use nothing but arguments: memories and messages are all that reaches another process",
}


@dataclasses.dataclass
class Finding:
    """One check on one track; verdict: "passed", "failed" or "not run"."""

    check: str
    track: str
    verdict: str = "passed"
    note: str = ""
    faults: list[str] = dataclasses.field(default_factory=list)

    def fail(self, method: str, error: BenchmarkError) -> None:
        """Add a fault."""
        where = ", ".join(dict.fromkeys(word for word in (method, error.where) if word))
        sentence = str(BenchmarkError(error.message, where=where, hint=error.hint or "mend the method"))
        self.verdict = "failed"
        if sentence not in self.faults:
            self.faults.append(sentence)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """How to run: the first one is watched round by round, the others must leave what it leaves."""

    make: Callable[[WorkerConfig], Backend] = SerialBackend
    seed: int = 0  # of the generators of the process, which must not matter
    broken: bool = False  # interrupted after the first round, then resumed


SCENARIOS = {
    "run": Scenario(), "randomness": Scenario(seed=1), "order": Scenario(partial(SerialBackend, reverse=True), seed=2),
    "resume": Scenario(seed=3, broken=True), "stacked": Scenario(StackedBackend),
}  # fmt: skip


class _Stop(Exception):
    """The interruption of a broken run."""


class _Late(BaseException):
    """Time is up; no `except Exception` of a method holds it back."""


class _Broken(Run):
    """Ends after its first round, with a checkpoint."""

    def _end_round(self, number: int, phase: Phase) -> None:
        self._save()
        raise _Stop


class RecordingBackend(Backend):
    """A backend that keeps every message, by round and client."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.workers = backend, backend.workers
        self.messages: dict[str, dict[str, Tree]] = {}

    def submit(self, jobs: Sequence[Job]) -> Results:
        """As the backend does."""
        results = self.backend.submit(jobs)
        if not (clients := client_jobs(jobs)):
            return results

        def noted() -> list[Any]:
            done = results()
            for job, visited in zip(clients, done, strict=True):
                both = {
                    "download": serialization.decode(job.message),
                    "upload": serialization.decode(visited.upload.data),
                }
                messages = {way: message for way, message in both.items() if message is not None}
                self.messages.setdefault(f"round {job.number}", {})[f"client {job.client}"] = messages
            return done

        return noted

    def close(self) -> None:
        """End the backend."""
        self.backend.close()


class Scenarios:
    """The desk of a process in which a method runs on toy data under watch."""

    def __init__(self, make: Callable[[], Algorithm], line: Line) -> None:
        self.method, self.line = make(), line

    def run(self, name: str, track: str, seconds: float) -> Reply:
        """All courses on a track: findings, and everything that the first one has left.

        seconds: of processor time, for all of them
        """
        findings = {check: Finding(check, track, "not run") for check in CHECKS}
        watched = InstrumentedAlgorithm(self.method, self.line.stage)
        federation = toy_federation(self.method, track)
        expected: Tree = {}
        with _limit(seconds):
            for check, course in SCENARIOS.items():
                found = _tried(findings, check, course, name, watched, federation, expected)
                expected = expected or found
                if any(finding.faults for finding in findings.values()) and check == "run":
                    break  # what follows is compared with this run
        for check in OBSERVED:
            if expected and not findings[check].faults:
                findings[check].verdict = "passed"
        facts = {"findings": [dataclasses.asdict(finding) for finding in findings.values()]}
        return Reply(facts, [serialization.encode(expected, "what a run leaves").data])


def _tried(
    findings: dict[str, Finding], check: str, course: Scenario, name: str, watched: InstrumentedAlgorithm,
    federation: Federation, expected: Tree,
) -> Tree:  # fmt: skip
    """One course: its findings are filled in; what it has left, {} if it failed."""
    found: Tree = {}
    try:
        watched.profiling = check == "run"
        found, findings[check].note = _run(watched, federation, course)
        findings[check].verdict = "passed"
        if odd := difference(expected or found, found, TOLERANCE if check == "stacked" else 0.0):
            error = BenchmarkError(odd, where=f"{federation.task.track} track", hint=REMEDIES[check])
            findings[check].fail(name, error)
    except Refused as error:
        findings[check].verdict, findings[check].note = "failed", error.message
    except BenchmarkError as error:
        findings[check].fail(name, error)
    except _Late as error:
        late = BenchmarkError("does not end in time on toy data", where=str(error), hint="bound its loops by a field")
        findings[check].fail(name, late)
    for kind, fault in watched.faults:
        findings[kind].fail(name, fault)
    watched.faults.clear()
    return found


def _run(watched: InstrumentedAlgorithm, federation: Federation, course: Scenario) -> tuple[Tree, str]:
    """Everything that is left of a run, and what its backend says of stacking."""
    algorithm: Any = watched
    backend = RecordingBackend(course.make(WorkerConfig(lambda _: federation, lambda: algorithm)))
    random.seed(course.seed)
    np.random.seed(course.seed)
    torch.manual_seed(course.seed)
    watched.begin_run()
    try:
        with tempfile.TemporaryDirectory(dir=os.getcwd()) as folder:
            arguments = federation, algorithm, backend, Path(folder), "toy"
            if course.broken:
                with suppress(_Stop):
                    _Broken(*arguments).execute()
                watched.forget_round()
            found = remains(Run(*arguments), backend)
        watched.look_around("judging")
    except (SystemExit, KeyboardInterrupt, _Stop) as error:
        raise BenchmarkError(f"ends the process ({type(error).__name__})", hint="raise an exception") from None
    finally:
        backend.close()
    reasons = backend.backend.facts.get("stacked", {}).get("looped", {}).values()
    return found, f"falls back to the loop: {', '.join(dict.fromkeys(reasons))}" if reasons else ""


def remains(run: Run, backend: RecordingBackend) -> Tree:
    """Run to the end; every message, the memories and the bytes."""
    try:
        result = run.execute()
    except Diverged as error:
        error.hint = "noise at a learning rate of 0.05 must not diverge: mend the method"
        raise
    files = {f"client {client}": run.memories.current(client) for client in range(run.federation.clients)}
    memories = {client: checkpoint.load(file)[0] or {} for client, file in files.items() if file}
    costs = {way: torch.tensor(result["bytes"][way]) for way in ("up", "down")}
    scores = torch.tensor([entry["accuracy"] for entry in result["evaluations"]], dtype=torch.float64)
    left = {"server memory": run.server, "memory": memories, "bytes": costs, "accuracy": scores}
    return {**backend.messages, **left}


def difference(expected: Tree, found: Tree, tolerance: float = 0.0) -> str:
    """What of two runs is not the same, by path, messages first; "" if nothing."""
    one, two = dict(trees.walk(expected)), dict(trees.walk(found))
    for path in sorted(one.keys() | two.keys(), key=lambda path: (not path.startswith("round "), path)):
        if path not in one or path not in two:
            return f"{path} is there in one run and not in another"
        leaf, other = one[path], two[path]
        if (leaf.shape, leaf.dtype) != (other.shape, other.dtype):
            return f"{path} has another shape or type in another run"
        if tolerance and leaf.is_floating_point():
            if path != "accuracy" and not torch.allclose(leaf, other, rtol=tolerance, atol=tolerance):
                return f"{path} differs by {float((leaf - other).abs().max()):.2g} from the loop's"
        elif not torch.equal(leaf, other):
            return f"{path} differs between two runs of the same seed"
    return ""


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """An endless loop becomes an exception that names the stage it is in."""

    def late(number: int, frame: FrameType | None) -> None:
        raise _Late(under_way())

    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)

"""The ways of running a method on toy data that must give the same results; runs inside a sandboxed process."""

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
from benchmark.core.backends.jobs import ClientJob
from benchmark.core.backends.stacked import StackedBackend
from benchmark.core.client.allowance import BudgetExceeded
from benchmark.core.client.federation import Federation
from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.isolation.child import ChildConnection
from benchmark.core.isolation.protocol import Response
from benchmark.core.server.rounds import Run
from benchmark.core.storage import checkpoint, serialization
from benchmark.core.tree import Tree
from benchmark.submission.instrumented import InstrumentedAlgorithm
from benchmark.submission.toy_task import toy_federation

TOLERANCE = 1e-3  # between backends, of values up to 1
OBSERVED = ("messages", "purity", "budget")  # by `InstrumentedAlgorithm`, in all scenarios
REMEDIES = {
    "randomness": "draw from the keys that are passed in: no generators of the process, no clock",
    "order": "keep what a client leaves in the memory that `finish` returns: clients must not see each other's work",
    "resume": "keep everything in the memories that `finish` and `aggregate` return: only they are in a checkpoint",
    "stacked": "use tensor operations that know nothing of other clients, and batch.mask in every mean",
    "apart": "use nothing but arguments: memories and messages are all that reaches another process",
}
CHECKS = ("run", *OBSERVED, "files", *REMEDIES)


@dataclasses.dataclass
class CheckResult:
    """The result of one check on one track.

    status: "passed", "failed" or "not run"
    faults: one sentence each
    """

    check: str
    track: str
    status: str = "passed"
    note: str = ""
    faults: list[str] = dataclasses.field(default_factory=list)

    def fail(self, method: str, error: BenchmarkError) -> None:
        """Add a fault."""
        where = ", ".join(dict.fromkeys(word for word in (method, error.where) if word))
        sentence = str(BenchmarkError(error.message, where=where, hint=error.hint or "correct the method"))
        self.status = "failed"
        if sentence not in self.faults:
            self.faults.append(sentence)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A way to run. What the first scenario leaves is what all others must leave.

    seed: of the process's generators, which must not matter
    interrupted: stopped after the first round, then resumed
    """

    backend: Callable[[WorkerConfig], Backend] = SerialBackend
    seed: int = 0
    interrupted: bool = False


SCENARIOS = {
    "run": Scenario(),
    "randomness": Scenario(seed=1),
    "order": Scenario(partial(SerialBackend, reverse=True), seed=2),
    "resume": Scenario(seed=3, interrupted=True),
    "stacked": Scenario(StackedBackend),
}


class Interruption(Exception):
    """Ends an `InterruptedRun`."""


class Timeout(BaseException):
    """The time is up; a method's `except Exception` does not catch it."""


class InterruptedRun(Run):
    """A run that ends after its first round, with a checkpoint."""

    def _end_round(self, number: int, phase: Phase) -> None:
        self._save()
        raise Interruption


class RecordingBackend(Backend):
    """A backend that keeps every message, by round and client."""

    def __init__(self, backend: Backend) -> None:
        self.backend, self.workers = backend, backend.workers
        self.messages: dict[str, dict[str, Tree]] = {}

    def submit(self, jobs: Sequence[Job]) -> Results:
        """Submit to the backend."""
        results, clients = self.backend.submit(jobs), client_jobs(jobs)
        return partial(self._record, clients, results) if clients else results

    def _record(self, jobs: Sequence[ClientJob], results: Results) -> list[Any]:
        client_results = results()
        for job, result in zip(jobs, client_results, strict=True):
            encoded = {"download": job.message, "upload": result.upload.data}
            decoded = {way: serialization.decode(data) for way, data in encoded.items()}
            messages = {way: message for way, message in decoded.items() if message is not None}
            self.messages.setdefault(f"round {job.number}", {})[f"client {job.client}"] = messages
        return client_results

    def close(self) -> None:
        """End the backend."""
        self.backend.close()


class ScenarioHandler:
    """Runs a method through all scenarios, in a sandboxed process."""

    def __init__(self, make: Callable[[], Algorithm], connection: ChildConnection) -> None:
        self.method, self.connection = make(), connection

    def run(self, name: str, track: str, seconds: float) -> Response:
        """Run all scenarios on a track: check results, and everything that the first one has left.

        seconds: of processor time, for all of them
        """
        results = {check: CheckResult(check, track, "not run") for check in CHECKS}
        algorithm = InstrumentedAlgorithm(self.method, self.connection.send_stage)
        federation = toy_federation(self.method, track)
        expected: Tree = {}
        with _time_limit(seconds, algorithm):
            for check, scenario in SCENARIOS.items():
                left = _try_scenario(results, check, scenario, name, algorithm, federation, expected)
                expected = expected or left
                if not expected:
                    break  # what follows is compared with this run
        for check in OBSERVED:
            if expected and not results[check].faults:
                results[check].status = "passed"
        facts = {"results": [dataclasses.asdict(result) for result in results.values()]}
        return Response(facts, [serialization.encode(expected, "what a run leaves").data])


def _try_scenario(
    results: dict[str, CheckResult],
    check: str,
    scenario: Scenario,
    name: str,
    algorithm: InstrumentedAlgorithm,
    federation: Federation,
    expected: Tree,
) -> Tree:
    """Run one scenario and fill in its result; returns what it has left, {} if it failed."""
    left: Tree = {}
    try:
        algorithm.trace_gradients = check == "run"
        left, results[check].note = _run(algorithm, federation, scenario)
        results[check].status = "passed"
        if odd := difference(expected or left, left, TOLERANCE if check == "stacked" else 0.0):
            error = BenchmarkError(odd, where=f"{federation.task.track} track", hint=REMEDIES[check])
            results[check].fail(name, error)
    except BenchmarkError as error:
        results["budget" if isinstance(error, BudgetExceeded) else check].fail(name, error)
    except Timeout as error:
        late = BenchmarkError("does not end in time on toy data", where=str(error), hint="bound its loops by a field")
        results[check].fail(name, late)
    for kind, fault in algorithm.faults:
        results[kind].fail(name, fault)
    algorithm.faults.clear()
    return left


def _run(algorithm: InstrumentedAlgorithm, federation: Federation, scenario: Scenario) -> tuple[Tree, str]:
    """Everything that a run leaves, and why its backend did not stack."""
    method: Any = algorithm
    backend = RecordingBackend(scenario.backend(WorkerConfig(lambda _: federation, lambda: method)))
    random.seed(scenario.seed)
    np.random.seed(scenario.seed)
    torch.manual_seed(scenario.seed)
    algorithm.begin_run()
    try:
        with tempfile.TemporaryDirectory(dir=os.getcwd()) as folder:
            arguments = federation, method, backend, Path(folder), "toy"
            if scenario.interrupted:
                with suppress(Interruption):
                    InterruptedRun(*arguments).execute()
                algorithm.reset_round()
            left = outcome(Run(*arguments), backend)
    except (SystemExit, KeyboardInterrupt, Interruption) as error:
        raise BenchmarkError(f"ends the process ({type(error).__name__})", hint="raise an exception") from None
    finally:
        backend.close()
    reasons = backend.backend.facts.get("stacked", {}).get("looped", {}).values()
    return left, f"falls back to the loop: {', '.join(dict.fromkeys(reasons))}" if reasons else ""


def outcome(run: Run, backend: RecordingBackend) -> Tree:
    """Run to the end; returns every message, the memories, bytes and accuracies."""
    try:
        result = run.execute()
    except Diverged as error:
        error.hint = "noise at a learning rate of 0.05 must not diverge: correct the method"
        raise
    files = {f"client {client}": run.memories.current(client) for client in range(run.federation.clients)}
    memories = {client: checkpoint.load(file)[0] or {} for client, file in files.items() if file}
    costs = {way: torch.tensor(result["bytes"][way]) for way in ("up", "down")}
    scores = torch.tensor([entry["accuracy"] for entry in result["evaluations"]], dtype=torch.float64)
    left = {"server memory": run.server, "memory": memories, "bytes": costs, "accuracy": scores}
    return {**backend.messages, **left}


def difference(expected: Tree, actual: Tree, tolerance: float = 0.0) -> str:
    """The first thing in which two outcomes differ, by path, messages first; "" if they are equal."""
    one, two = dict(trees.walk(expected)), dict(trees.walk(actual))
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
def _time_limit(seconds: float, algorithm: InstrumentedAlgorithm) -> Iterator[None]:
    """Turn an endless loop into a `Timeout` that names the stage it is in."""

    def expire(number: int, frame: FrameType | None) -> None:
        raise Timeout(algorithm.stage)

    signal.signal(signal.SIGPROF, expire)
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)

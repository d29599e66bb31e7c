"""`fedrepro check`: reads a method's file, then runs it on toy data in every way that must give the same bits.

This process never runs the method's code: results come out of sandboxed processes.
"""

from __future__ import annotations

import tempfile
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from benchmark.core import method_files
from benchmark.core.errors import BenchmarkError
from benchmark.core.isolation.backend import IsolatedBackend
from benchmark.core.isolation.limits import GIGABYTE, Limits
from benchmark.core.isolation.process import SandboxedProcess
from benchmark.core.isolation.protocol import Response
from benchmark.core.isolation.remote_algorithm import RemoteAlgorithm
from benchmark.core.models.build import build
from benchmark.core.server.rounds import Run
from benchmark.submission.scenarios import (
    CHECKS,
    REMEDIES,
    CheckResult,
    RecordingBackend,
    ScenarioHandler,
    difference,
    outcome,
)
from benchmark.submission.static_check import network_line, static_faults
from benchmark.submission.toy_task import CLASSES, NETWORKS, SHAPE, toy_federation, toy_method

SECONDS = 20.0  # of processor time for the method's part on one track
WALL_PER_CPU = 3  # seconds of wall time for one of processor time: the machine may be busy
LARGEST_RESPONSE = 64_000_000  # bytes


def check(name: str, seconds: float = SECONDS) -> list[CheckResult]:
    """Check a method on every track that it claims. Leaves nothing behind.

    Args:
        name: Name of a method, or path of a .py file.
        seconds: Processor time for the method on one track.

    Returns:
        One result for the class and one per check and track. A method without faults passes all of them.

    Raises:
        BenchmarkError: There is no such method or file.
    """
    path = method_files.find(name)
    result = CheckResult("class", "")
    for fault in static_faults(path):
        result.fail(path.stem, fault)
    limits = Limits(seconds * WALL_PER_CPU, 2 * GIGABYTE, LARGEST_RESPONSE)
    try:
        method = RemoteAlgorithm(partial(toy_method, str(path)), NETWORKS, limits, readable=(path,))
    except BenchmarkError as error:
        result.fail(path.stem, error)
        return [result]
    for fault in _network_faults(path, method):
        result.fail(path.stem, fault)
    results = [result]
    for track in method.track:
        results += _check_track(path.stem, method, track, seconds)
    return results


def _network_faults(path: Path, method: RemoteAlgorithm) -> list[BenchmarkError]:
    """Networks that the method names and nobody has registered, with the line that names them."""
    faults = []
    declared = [[names] if isinstance(names, str) else names.values() for names in method.declared.values()]
    for network in dict.fromkeys(chain.from_iterable(declared)):
        try:
            build(network, SHAPE, CLASSES)
        except BenchmarkError as error:
            line = network_line(path, network)
            message = f"{error.message} (line {line})" if line else error.message
            faults.append(BenchmarkError(message, where="network", hint=error.hint))
    return faults


def _check_track(name: str, method: RemoteAlgorithm, track: str, seconds: float) -> list[CheckResult]:
    results = {check: CheckResult(check, track, "not run") for check in CHECKS}
    try:
        response, files = _run_scenarios(name, method, track, seconds)
    except BenchmarkError as error:
        results["run"].fail(name, error)
        return list(results.values())
    results |= _received(response, track)
    results["files"].status = "passed"
    if files:
        hint = "a method writes no files: keep everything in memories and messages"
        results["files"].fail(name, BenchmarkError(f"leaves files behind ({', '.join(files)})", hint=hint))
    if results["run"].status == "passed":
        _compare_apart(name, method, track, response, results["apart"])
    return list(results.values())


def _run_scenarios(name: str, method: RemoteAlgorithm, track: str, seconds: float) -> tuple[Response, list[str]]:
    """Run the scenarios in a process that may write to one temporary folder; returns also what is left in there."""
    handler = partial(ScenarioHandler, method.make)
    with (
        tempfile.TemporaryDirectory() as folder,
        SandboxedProcess(handler, method.limits, method.readable, (Path(folder),)) as process,
    ):
        response = process.call("run", name, track, seconds)
        return response, sorted(path.name for path in Path(folder).iterdir())


def _received(response: Response, track: str) -> dict[str, CheckResult]:
    """Results from a process that ran the method, which may have tampered with them."""
    results = {}
    for entry in response.facts.get("results", ()):
        result = CheckResult(**{key: entry[key] for key in ("check", "track", "status", "note", "faults")})
        if result.check in CHECKS and result.track == track:
            results[result.check] = result
    return results


def _compare_apart(name: str, method: RemoteAlgorithm, track: str, response: Response, result: CheckResult) -> None:
    """The same run with server and clients in processes of their own must leave the same."""
    algorithm: Any = method
    result.status = "passed"
    try:
        federation = toy_federation(method, track)
        backend = RecordingBackend(IsolatedBackend(method, federation))
        try:
            with tempfile.TemporaryDirectory() as folder:
                left = outcome(Run(federation, algorithm, backend, Path(folder), "toy"), backend)
        finally:
            backend.close()
        if odd := difference(response.tree(0, "what its run leaves"), left):
            raise BenchmarkError(f"server and clients apart: {odd}", where=f"{track} track", hint=REMEDIES["apart"])
    except BenchmarkError as error:
        result.fail(name, error)

"""`fedrepro check`: a method on noise, run every way that must give the same bits; every fault is one sentence.

This process never runs the method's code: what a run leaves comes out of sandboxed processes.
"""

from __future__ import annotations

import ast
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.core import method_files
from benchmark.core.errors import BenchmarkError
from benchmark.core.isolation.audit_hook import OUTSIDE
from benchmark.core.isolation.backend import IsolatedBackend
from benchmark.core.isolation.limits import GIGABYTE, Bounds
from benchmark.core.isolation.process import Answer, SandboxedProcess
from benchmark.core.isolation.remote_algorithm import RemoteAlgorithm
from benchmark.core.server.rounds import Run
from benchmark.submission.scenarios import CHECKS, REMEDIES, Finding, RecordingBackend, Scenarios, difference, remains
from benchmark.submission.toy_task import NETWORKS, toy_federation, toy_method

SECONDS = 20.0  # of processor time for the method's part on one track
PATIENCE = 3  # seconds of wall time for one of processor time: the machine may be busy
LARGEST_ANSWER = 64_000_000  # bytes
INTERFACE = {f"benchmark.core.{name}" for name in ("api", "ops", "tree", "keys", "optim")}
LIBRARIES = {"__future__", "collections", "dataclasses", "functools", "itertools", "math", "torch", "typing"}
"""What a method may import, besides the method that it inherits from."""


def check(name: str, seconds: float = SECONDS) -> list[Finding]:
    """All findings on a method's name or file, on every track that it claims; raises BenchmarkError for unknown ones.

    seconds: of processor time for the method on one track
    Leaves nothing behind.
    """
    path = method_files.find(name)
    first = Finding("class", "")
    for error in _imports(path):
        first.fail(path.stem, error)
    bounds = Bounds(seconds * PATIENCE, 2 * GIGABYTE, LARGEST_ANSWER)
    try:
        method = RemoteAlgorithm(partial(toy_method, str(path)), NETWORKS, bounds, readable=(path,))
    except BenchmarkError as error:
        first.fail(path.stem, error)
        return [first]
    findings = [first]
    for track in method.track:
        findings += _track(path.stem, method, track, seconds)
    return findings


def may_import(name: str) -> bool:
    """Whether a method may import a module."""
    head = name.split(".")[0]
    return name in INTERFACE or head in LIBRARIES or head == "algorithms"


def _imports(path: Path) -> list[BenchmarkError]:
    """Modules that a method has no need of, by line."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return []  # importing the file will say so
    hint = f"a method imports the interface, the method that it inherits from, and {', '.join(sorted(LIBRARIES)[1:])}"
    return [
        BenchmarkError(f"imports {name} (line {line})", where="class", hint=hint)
        for line, name in _imported(tree) if not may_import(name)
    ]  # fmt: skip


def _imported(tree: ast.AST) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = node.module == "benchmark.core"
            found += [(node.lineno, f"{node.module}.{a.name}" if inside else str(node.module)) for a in node.names]
    return list(dict.fromkeys(found))


def _track(name: str, method: RemoteAlgorithm, track: str, seconds: float) -> list[Finding]:
    findings = {check: Finding(check, track, "not run") for check in CHECKS}
    try:
        answer, left = _watched(name, method, track, seconds)
    except BenchmarkError as error:
        findings["run"].fail(name, error)
        return list(findings.values())
    findings |= _told(answer, track)
    if left:
        findings["reach"].fail(name, BenchmarkError(f"leaves files behind ({', '.join(left)})", hint=OUTSIDE))
    if findings["run"].verdict == "passed" and not findings["reach"].faults:
        _apart(name, method, track, answer, findings["apart"])
    return list(findings.values())


def _watched(name: str, method: RemoteAlgorithm, track: str, seconds: float) -> tuple[Answer, list[str]]:
    """The courses, in a process that may write to one folder; the names of what is left in there, which goes."""
    desk = partial(Scenarios, method.make)
    with (
        tempfile.TemporaryDirectory() as folder,
        SandboxedProcess(desk, method.bounds, method.readable, (Path(folder),)) as room,
    ):
        return room.ask("run", name, track, seconds), sorted(path.name for path in Path(folder).iterdir())


def _told(answer: Answer, track: str) -> dict[str, Finding]:
    """Findings out of a process that ran the method, which may have tampered with them."""
    found = {}
    for entry in answer.facts.get("findings", ()):
        finding = Finding(**{key: entry[key] for key in ("check", "track", "verdict", "note", "faults")})
        if finding.check in CHECKS and finding.track == track:
            found[finding.check] = finding
    return found


def _apart(name: str, method: RemoteAlgorithm, track: str, answer: Answer, finding: Finding) -> None:
    """The same run with server and clients in processes of their own must leave the same."""
    federation, algorithm = toy_federation(method, track), _any(method)
    backend = RecordingBackend(IsolatedBackend(method, federation))
    finding.verdict = "passed"
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = remains(Run(federation, algorithm, backend, Path(folder), "toy"), backend)
        if odd := difference(answer.tree(0, "what its run leaves"), found):
            raise BenchmarkError(f"server and clients apart: {odd}", where=f"{track} track", hint=REMEDIES["apart"])
    except BenchmarkError as error:
        finding.fail(name, error)
    finally:
        backend.close()


def _any(value: Any) -> Any:
    return value

"""`fedbench check`: a method on noise, run every way that must give the same bits; every fault is one sentence."""

from __future__ import annotations

import dataclasses
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from benchmark import catalog
from benchmark.core import checkpoint
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Phase
from benchmark.core.backends import Backend, Serial, Setting
from benchmark.core.backends.stacked import Stacked
from benchmark.core.engine import Run
from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.federation import Federation, Ingredients, Rows
from benchmark.core.judge import JUDGES
from benchmark.core.keys import Key
from benchmark.core.splits import Iid
from benchmark.core.task import Optimiser, ProbeSpec, Task, Train
from benchmark.core.tree import Tree
from benchmark.watch import Refused, Watched, state, under_way

SECONDS = 20  # for the whole check
TOLERANCE = 1e-3  # between backends, of values up to 1
SIZES, SHAPE, CLASSES = (15, 10, 8, 13), (1, 8, 8), 3
LARGEST = 8  # whole-numbered fields count steps, epochs, widths: no toy needs more
CHECKS = ("run", "messages", "purity", "state", "reach", "randomness", "order", "resume", "stacked")


@dataclasses.dataclass
class Finding:
    """One check on one track; verdict: "passed", "failed" or "not run"."""

    check: str
    track: str
    verdict: str = "passed"
    note: str = ""
    faults: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Course:
    """How to run: the first one is watched round by round, the others must leave what it leaves."""

    make: Callable[[Setting], Backend] = Serial
    seed: int = 0  # of the generators of the process, which must not matter
    broken: bool = False  # interrupted after the first round, then resumed


class _Stop(Exception):
    """The interruption of a broken run."""


class _Late(BaseException):
    """Time is up; no `except Exception` of a method holds it back."""


class _Broken(Run):
    """Ends after its first round, with a checkpoint."""

    def _report(self, number: int, phase: Phase) -> None:
        self._save()
        raise _Stop


def check(name: str) -> list[Finding]:
    """All findings on a method's name or file, on every track that it claims; raises BenchmarkError for unknown ones.

    Works in this process and leaves nothing behind.
    """
    path = catalog.find(name)
    first = Finding("class", "")
    try:
        algorithm = _toy(name)
    except BenchmarkError as error:
        _fail(first, path.stem, error)
        return [first]
    findings, end = [first], time.monotonic() + SECONDS
    for track in algorithm.track:
        findings += _track(path.stem, algorithm, track, end)
    return findings


def _toy(name: str) -> Algorithm:
    """The method with its defaults checked, then cut to the size of toys."""
    kind = catalog.load(catalog.find(name))
    defaults = {entry.name: entry.default for entry in dataclasses.fields(kind)}
    catalog.make(name, defaults)
    if not kind.track or (strange := set(kind.track) - JUDGES.keys()):
        given = ", ".join(sorted(strange)) if kind.track else "nothing"
        raise BenchmarkError(f"track is {given}", hint=f"a tuple out of {', '.join(JUDGES)}")
    limits = {entry.name: entry.metadata.get("low") for entry in dataclasses.fields(kind)}
    small = {field: max(LARGEST, limits[field] or 0) for field, value in defaults.items()
             if type(value) is int and value > LARGEST}  # fmt: skip
    return catalog.make(name, small)


def _fail(finding: Finding, method: str, error: BenchmarkError) -> None:
    where = ", ".join(dict.fromkeys(word for word in (method, error.where) if word))
    sentence = str(BenchmarkError(error.message, where=where, hint=error.hint or "mend the method"))
    finding.verdict = "failed"
    if sentence not in finding.faults:
        finding.faults.append(sentence)


def _track(method: str, algorithm: Algorithm, track: str, end: float) -> list[Finding]:
    findings = {name: Finding(name, track, "not run") for name in CHECKS}
    watched = Watched(algorithm)
    federation = toy_federation(algorithm, track)
    expected: Tree = {}
    courses = {
        "run": Course(), "randomness": Course(seed=1), "order": Course(partial(Serial, reverse=True), seed=2),
        "resume": Course(seed=3, broken=True), "stacked": Course(Stacked),
    }  # fmt: skip
    for name, course in courses.items():
        try:
            with _limit(end):
                found, note = _run(watched, federation, course)
            findings[name].note, findings[name].verdict = note, "passed"
            if name == "run":
                expected = found
            elif odd := _difference(expected, found, TOLERANCE if name == "stacked" else 0.0):
                _fail(findings[name], method, BenchmarkError(odd, where=f"{track} track", hint=REMEDIES[name]))
        except Refused as error:
            findings[name].verdict, findings[name].note = "failed", error.message
        except BenchmarkError as error:
            _fail(findings[name], method, error)
        for kind, fault in watched.faults:
            _fail(findings[kind], method, fault)
        watched.faults.clear()
        if any(finding.faults for finding in findings.values()) and name == "run":
            break  # what follows is compared with this run
    for kind in ("messages", "purity", "state", "reach"):
        if expected and not findings[kind].faults:
            findings[kind].verdict = "passed"
    return list(findings.values())


REMEDIES = {
    "randomness": "draw from the keys that are handed in: no random, np.random, torch generators of the process, clock",
    "order": "keep what a client leaves in the memory that `finish` returns: clients must not see each other's work",
    "resume": "keep everything in the memories that `finish` and `aggregate` return: only they are in a checkpoint",
    "stacked": "use tensor operations that know nothing of other clients, and batch.mask in every mean",
}


def toy_federation(algorithm: Algorithm, track: str) -> Federation:
    """Three of four uneven clients in two rounds, with all data that any method may need, all of it noise."""
    mixed = track == "heterogeneous" and "one architecture" not in algorithm.needs
    networks = ("mlp_bn",) if track == "unsupervised" else ("mlp", "golden") if mixed else ("mlp",)
    edges = np.cumsum([0, *SIZES])
    given = Ingredients(
        private=_rows(int(edges[-1]), "private"), parts=np.split(np.arange(edges[-1]), edges[1:-1]),
        test=_rows(12, "test"), shape=SHAPE, classes=CLASSES, mean=(0.5,), std=(0.25,),
        public=_rows(16, "public"), unlabelled=_rows(10, "unlabelled"), validation=_rows(6, "validation"),
    )  # fmt: skip
    task = Task(
        name="toy", track=track,  # type: ignore[arg-type]
        tier="quick", dataset="noise", split=Iid(kind="iid"), clients=len(SIZES), cohort=3,
        rounds=2, networks=networks, train=Train(batch=8, optimiser=Optimiser(lr=0.05, momentum=0.9)),
        evaluate_every=2,
        probe=ProbeSpec(epochs=1, labelled=()) if track == "unsupervised" else None,
    )  # fmt: skip
    return Federation(task, 0, given, algorithm.pooled, algorithm.network)


def _rows(count: int, name: str) -> Rows:
    channels, height, width = SHAPE
    noise = Key(0)("toy", name).numpy().integers(0, 256, (count, height, width, channels), np.uint8)
    return Rows(noise, np.arange(count) % CLASSES, np.arange(count))


def _run(watched: Watched, federation: Federation, course: Course) -> tuple[Tree, str]:
    """Everything that is left of a run, and what its backend says of stacking."""
    algorithm: Any = watched
    backend = course.make(Setting(lambda _: federation, lambda: algorithm))
    random.seed(course.seed)
    np.random.seed(course.seed)
    torch.manual_seed(course.seed)
    before = state(watched.method)
    try:
        with tempfile.TemporaryDirectory() as folder:
            arguments = federation, algorithm, backend, Path(folder), "toy", partial(watched.observe, before)
            if course.broken:
                with suppress(_Stop):
                    _Broken(*arguments).execute()
                watched.forget_round()
            done = Run(*arguments)
            result = done.execute()
            files = {f"client {client}": done.memories.current(client) for client in range(federation.clients)}
            memories = {client: checkpoint.load(file)[0] or {} for client, file in files.items() if file}
    except Diverged as error:
        error.hint = "noise at a learning rate of 0.05 must not diverge: mend the method"
        raise
    except (SystemExit, KeyboardInterrupt, _Stop) as error:
        raise BenchmarkError(f"ends the process ({type(error).__name__})", hint="raise an exception") from None
    finally:
        watched.forget_round()
        backend.close()
    reasons = backend.facts.get("stacked", {}).get("looped", {}).values()
    note = f"falls back to the loop: {', '.join(dict.fromkeys(reasons))}" if reasons else ""
    costs = {way: torch.tensor(result["bytes"][way]) for way in ("up", "down")}
    return {"server memory": done.server, "memory": memories, "bytes": costs}, note


def _difference(expected: Tree, found: Tree, tolerance: float) -> str:
    """What of two runs is not the same, by path; "" if nothing."""
    one, two = dict(trees.walk(expected)), dict(trees.walk(found))
    if odd := sorted(one.keys() ^ two.keys()):
        return f"{odd[0]} is there in one run and not in another"
    for path, leaf in one.items():
        other = two[path]
        if (leaf.shape, leaf.dtype) != (other.shape, other.dtype):
            return f"{path} has another shape or type in another run"
        if tolerance and leaf.is_floating_point():
            if not torch.allclose(leaf, other, rtol=tolerance, atol=tolerance):
                return f"{path} differs by {float((leaf - other).abs().max()):.2g} from the loop's"
        elif not torch.equal(leaf, other):
            return f"{path} differs between two runs of the same seed"
    return ""


@contextmanager
def _limit(end: float) -> Iterator[None]:
    """An endless loop becomes a sentence that names the stage it is in."""

    def late(number: int, frame: FrameType | None) -> None:
        raise _Late(under_way())

    old = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, max(0.01, end - time.monotonic()))
    try:
        yield
    except _Late as error:
        hint = "bound its loops by a field"
        raise BenchmarkError(f"does not end within {SECONDS} s on toy data", where=str(error), hint=hint) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)

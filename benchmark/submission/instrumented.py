"""A method under watch: what its calls change, send and reach for."""

from __future__ import annotations

import _thread
import datetime
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from math import inf
from types import FrameType
from typing import Any, NamedTuple

import torch

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Pass, Site
from benchmark.core.errors import BenchmarkError
from benchmark.core.isolation.audit_hook import OUTSIDE, guarded, is_method
from benchmark.core.isolation.child import Sealed
from benchmark.core.keys import Key
from benchmark.core.tree import Tree
from benchmark.submission.state_snapshot import printed, state

# Arguments of the engine's calls that a stage must leave as they are, by position; `local` is the client's own
INPUTS = {
    "download": {"server memory": 0}, "begin": {"client memory": 0, "message": 1},
    "finish": {"client memory": 0, "message": 2}, "aggregate": {"server memory": 0, "uploads": 1},
    "global_model": {"server memory": 0}, "local_model": {"server memory": 0, "client memory": 1},
}  # fmt: skip
OUTSIDE_PASSES = {"init_client", "passes", "begin", "after_step", "finish"}  # where a client has nothing to train
GRADIENTS = {torch.autograd.grad.__code__, torch.autograd.backward.__code__}
CLOCKS = {id(clock): name for name, clock in vars(time).items() if callable(clock) and name != "sleep"}
BUDGET = "leave training to passes, and make a number of epochs or steps of your own a field of the class"
Prints = dict[str, bytes]


class Sent(NamedTuple):
    """A message as others of its phase are compared with it."""

    client: int
    arch: str
    leaves: dict[str, torch.Tensor] | None


class InstrumentedAlgorithm:
    """Stands in for a method: passes every call on and notes faults as (check, error).

    tell: is told what is under way
    profiling: look also for clocks and for training outside of passes, which takes time
    """

    def __init__(self, method: Algorithm, tell: Callable[[str], None] = lambda stage: None) -> None:
        self.method, self.tell = method, tell
        self.faults = list[tuple[str, BenchmarkError]]()
        self.sent: dict[str, list[Sent]] = {"download": [], "finish": []}
        self.held: dict[int, Prints] = {}
        self.firsts: dict[tuple[str, str], dict[str, Sent]] = {}  # by phase and stage, then architecture
        self.before, self.round = dict[str, Any](), 0
        self.profiling, self.updates, self.allowed, self.told = False, 0, inf, ""

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.method, name)
        return partial(self._call, name, value) if callable(value) else value

    def blame(self, check: str, stage: str, message: str, hint: str) -> None:
        """Note a fault."""
        self.faults.append((check, BenchmarkError(message, where=stage, hint=hint)))

    def _call(self, stage: str, function: Any, *arguments: Any) -> Any:
        arguments = tuple(map(self._handed, arguments))
        inputs = {what: arguments[place] for what, place in INPUTS.get(stage, {}).items()}
        before, threads = _prints(inputs), threading.active_count()
        if stage == "finish":
            self._unchanged("loss, step or after_step", self.held.pop(arguments[-1].who.id, before), before)
            self._within_budget(stage)
        if stage == "begin":
            self.held[arguments[-1].who.id] = before
            self.updates = 0
        with guarded(stage, partial(self._outside, stage)), self._profiled(stage):
            outcome = function(*arguments)
        self._unchanged(stage, before, _prints(inputs))
        if threading.active_count() > threads:
            self.blame("reach", stage, "leaves a thread behind", OUTSIDE)
        if stage == "download":
            self._send(stage, arguments[1], outcome)
        elif stage == "finish":
            self._send(stage, arguments[-1].who, outcome[1])
        elif stage == "aggregate":
            self.end_round(arguments[2].name)
        elif stage == "passes":
            self.allowed = self._allowance(outcome, arguments[-1])
        return outcome

    def _handed(self, argument: Any) -> Any:
        """Keys without their root, and an optimiser step that is counted."""
        if type(argument) is Key:
            return Sealed(argument.names, lambda names: Key(argument.root, tuple(names)).seed)
        if getattr(argument, "__name__", "") == "_update":

            def counted(*given: Any) -> Any:
                self.updates += 1
                return argument(*given)

            return counted
        return argument

    def _outside(self, stage: str, attempt: str) -> None:
        self.blame("reach", stage, attempt, OUTSIDE)

    def _allowance(self, passes: tuple[Pass, ...], site: Site) -> float:
        """Optimiser steps that a visit may take: the task's on private data, or as many as fields of the class say."""
        own = {getattr(self.method, entry.name) for entry in fields(self.method)}
        total = 0.0
        for run in passes:
            if run.stream == "public":
                return inf
            batch = run.batch if run.batch in own and run.batch else site.train.batch
            epochs = run.epochs if run.epochs in own and run.epochs else site.train.epochs
            per_epoch = max(-(-site.data.size // batch), site.data.size // max(1, batch // 2))
            steps = run.steps if run.steps in own else site.train.steps
            total += steps or epochs * per_epoch
        return inf if self.method.pooled else total

    def _within_budget(self, stage: str) -> None:
        if self.updates > self.allowed:
            message = f"the visit took {self.updates} optimiser steps where the task allows {self.allowed:g}"
            self.blame("budget", stage, message, BUDGET)

    @contextmanager
    def _profiled(self, stage: str) -> Iterator[None]:
        if stage != self.told:
            self.told = stage
            self.tell(stage)
        if not self.profiling:
            yield
            return
        before = sys.getprofile()
        sys.setprofile(partial(self._look, stage))
        try:
            yield
        finally:
            sys.setprofile(before)

    def _look(self, stage: str, frame: FrameType, event: str, given: Any) -> None:
        if event == "c_call" and (clock := _clock(given)) and is_method(frame.f_globals.get("__name__", "")):
            self.blame("reach", stage, f"reads the clock ({clock})", "count steps and rounds instead")
        elif given is _thread.start_new_thread:
            self.blame("reach", stage, "starts a thread", OUTSIDE)
        elif event == "call" and stage in OUTSIDE_PASSES and frame.f_code in GRADIENTS:
            self.blame("budget", stage, "computes gradients outside of a pass", BUDGET)

    def _unchanged(self, stage: str, before: Prints, after: Prints) -> None:
        changed = [path for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)]
        if changed:
            hint = "write into copies (tree.copy) and return new trees"
            self.blame("purity", stage, f"changes its input {changed[0]}", hint)

    def _send(self, stage: str, who: Any, message: Any) -> None:
        if not isinstance(message, Mapping | None):
            return  # the engine refuses it, by path
        leaves = None if message is None else dict(trees.walk(dict(message)))
        if leaves is not None and not all(isinstance(leaf, torch.Tensor) for leaf in leaves.values()):
            return
        if leaves is not None and not sum(leaf.numel() for leaf in leaves.values()):
            self.blame("messages", stage, "the message is empty", "return None where nothing is to be sent")
        self.sent[stage].append(Sent(who.id, who.arch, leaves))

    def begin_run(self) -> None:
        """What follows is compared with how things are now."""
        self.before, self.round = state(self.method), 0
        self.firsts.clear()
        self.forget_round()

    def end_round(self, phase: str) -> None:
        """Compare the messages of a round with each other and with those of the phase's earlier rounds, and the state.

        Names, types and shapes of nothing that vary would move information that no payload counts.
        """
        self.round += 1
        hint = "send the same names and types from and to all clients in all rounds of a phase"
        for stage, sent in self.sent.items():
            kept = self.firsts.setdefault((phase, stage), {})
            for other in sent:
                first = kept.setdefault(other.arch, other) if other.leaves is not None else other
                odd = _unlike(first, other, later=True) or _unlike(sent[0], other)
                if odd:
                    message = f"round {self.round}: {odd} at client {other.client} and client {first.client}"
                    self.blame("messages", stage, message, hint)
                    break
        self.forget_round()
        self.look_around(f"round {self.round}")

    def look_around(self, where: str) -> None:
        """Compare the state outside of memories with what it was before the run."""
        after = state(self.method)
        for name in sorted(self.before.keys() | after.keys()):
            if self.before.get(name) != after.get(name):
                hint = "keep what is to last in the memories that finish and aggregate return"
                self.blame("state", where, f"{name} has changed: state outside of memories", hint)

    def forget_round(self) -> None:
        """Start anew: messages of different rounds may differ."""
        self.held.clear()
        for sent in self.sent.values():
            sent.clear()


def _clock(function: Any) -> str:
    """The name of a function that tells the time, "" for others."""
    if id(function) in CLOCKS:
        return f"time.{CLOCKS[id(function)]}"
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, datetime.date) and function.__name__ in ("now", "utcnow", "today"):
        return f"{owner.__name__}.{function.__name__}"
    return ""


def _unlike(one: Sent, two: Sent, later: bool = False) -> str:
    """later: of another round, in which there may be more or fewer rows, for which bytes are counted."""
    if one.leaves is None or two.leaves is None:
        return "" if one.leaves is two.leaves else "a message to one client and none to the other:"
    if one.arch == two.arch and (odd := sorted(one.leaves.keys() ^ two.leaves.keys())):
        return f"{odd[0]} is not in both messages:"
    for path in sorted(one.leaves.keys() & two.leaves.keys()):
        a, b = one.leaves[path], two.leaves[path]
        if a.dtype != b.dtype:
            return f"{path} has types {a.dtype} and {b.dtype}"
        counted = later and (a.numel() or b.numel())
        if one.arch == two.arch and a.shape != b.shape and not counted:
            return f"{path} has shapes {tuple(a.shape)} and {tuple(b.shape)}"
    return ""


def _prints(inputs: Mapping[str, Any]) -> Prints:
    """Bytes of every tensor by its path, and of the shape of what is no tensor."""
    named: Tree = {}
    for what, tree in inputs.items():
        named[what] = {f"of client {u.who.id}": u.message for u in tree} if what == "uploads" else tree
    return {path: printed(leaf) for path, leaf in trees.walk(named)}

"""A method whose calls are observed: what they change, what they send, and where they train.

It observes what comparing runs cannot show: inputs that are written to, messages that tell something by their form,
and gradients outside of passes. Other budgets are the engine's to refuse, in every run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any, NamedTuple

import torch

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Site
from benchmark.core.client import local_trainer
from benchmark.core.errors import BenchmarkError
from benchmark.core.isolation.child import ScopedKey
from benchmark.core.keys import Key
from benchmark.core.tree import Tree

# Arguments of the engine's calls that a stage must not change, by position; `local` is the client's own
INPUTS = {
    "download": {"server memory": 0},
    "begin": {"client memory": 0, "message": 1},
    "finish": {"client memory": 0, "message": 2},
    "aggregate": {"server memory": 0, "uploads": 1},
    "global_model": {"server memory": 0},
    "local_model": {"server memory": 0, "client memory": 1},
}
TRAINING = {"aggregate", "init_server", "beforehand", "predict"}  # elsewhere the engine alone takes gradients
GRADIENTS = {torch.autograd.grad.__code__, torch.autograd.backward.__code__}
BUDGET = "leave training to passes"
PURITY = "write into copies (tree.copy) and return new trees"
SAME_FORM = "send the same names and types to all clients in all rounds of a phase; shapes differ in the number of rows"


class Message(NamedTuple):
    """A message, to be compared with others of its phase."""

    client: int
    arch: str
    leaves: dict[str, torch.Tensor] | None


class InstrumentedAlgorithm:
    """Passes every call on to a method and collects faults as (check, error).

    report_stage: is told which stage is running, whenever it changes
    trace_gradients: look also for training outside of passes, which is slow
    """

    def __init__(self, method: Algorithm, report_stage: Callable[[str], None] = lambda stage: None) -> None:
        self.method, self.report_stage, self.stage = method, report_stage, ""
        self.faults = list[tuple[str, BenchmarkError]]()
        self.messages: dict[str, list[Message]] = {"download": [], "finish": []}
        self.first_messages: dict[tuple[str, str], dict[str, Message]] = {}  # by phase and stage, then architecture
        self.inputs_at_begin: dict[int, dict[str, bytes]] = {}
        self.round, self.trace_gradients = 0, False

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.method, name)
        return partial(self._call, name, value) if callable(value) else value

    def begin_run(self) -> None:
        """Forget the messages of earlier runs."""
        self.round = 0
        self.first_messages.clear()
        self.reset_round()

    def reset_round(self) -> None:
        self.inputs_at_begin.clear()
        for messages in self.messages.values():
            messages.clear()

    def _fault(self, check: str, stage: str, message: str, hint: str) -> None:
        self.faults.append((check, BenchmarkError(message, where=stage, hint=hint)))

    def _call(self, stage: str, function: Any, *arguments: Any) -> Any:
        if stage != self.stage:
            self.stage = stage
            self.report_stage(stage)
        arguments = tuple(map(self._wrap, arguments))
        inputs = {name: arguments[position] for name, position in INPUTS.get(stage, {}).items()}
        before = _bytes_by_path(inputs)
        if stage == "begin":
            self.inputs_at_begin[arguments[-1].who.id] = before
        elif stage == "finish":
            at_begin = self.inputs_at_begin.pop(arguments[-1].who.id, before)
            self._check_purity("loss, step or after_step", at_begin, before)
        with self._traced(stage):
            outcome = function(*arguments)
        self._check_purity(stage, before, _bytes_by_path(inputs))
        if stage == "download":
            self._add_message(stage, arguments[1], outcome)
        elif stage == "finish":
            self._add_message(stage, arguments[-1].who, outcome[1])
        elif stage == "aggregate":
            self._check_messages(arguments[2].name)
        return outcome

    def _wrap(self, argument: Any) -> Any:
        """Keys lose their root."""
        if type(argument) is Key:
            return ScopedKey(argument.names, lambda names: Key(argument.root, tuple(names)).seed)
        if isinstance(argument, Site):
            return replace(argument, key=self._wrap(argument.key))
        return argument

    def _check_purity(self, stage: str, before: dict[str, bytes], after: dict[str, bytes]) -> None:
        changed = [path for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)]
        if changed:
            self._fault("purity", stage, f"changes its input {changed[0]}", PURITY)

    @contextmanager
    def _traced(self, stage: str) -> Iterator[None]:
        if not self.trace_gradients or stage in TRAINING:
            yield
            return

        def look(frame: FrameType, event: str, argument: Any) -> None:
            if event == "call" and frame.f_code in GRADIENTS and not _of_engine(frame.f_back):
                self._fault("budget", stage, "computes gradients of its own, outside of a pass's", BUDGET)

        before = sys.getprofile()
        sys.setprofile(look)
        try:
            yield
        finally:
            sys.setprofile(before)

    def _add_message(self, stage: str, who: Any, message: Any) -> None:
        if not isinstance(message, Mapping | None):
            return  # the engine refuses it, by path
        leaves = None if message is None else dict(trees.walk(dict(message)))
        if leaves is not None and not all(isinstance(leaf, torch.Tensor) for leaf in leaves.values()):
            return
        if leaves is not None and not sum(leaf.numel() for leaf in leaves.values()):
            self._fault("messages", stage, "the message is empty", "return None where nothing is to be sent")
        self.messages[stage].append(Message(who.id, who.arch, leaves))

    def _check_messages(self, phase: str) -> None:
        """Compare the messages of a round with each other and with those of the phase's earlier rounds.

        Names and types that vary, and shapes of nothing, would move information that no payload counts.
        """
        self.round += 1
        for stage, messages in self.messages.items():
            first_by_arch = self.first_messages.setdefault((phase, stage), {})
            first = next((message for message in messages if message.leaves is not None), None)
            differences = (_message_difference(message, first, first_by_arch) for message in messages if first)
            if difference := next(filter(None, differences), ""):
                self._fault("messages", stage, f"round {self.round}: {difference}", SAME_FORM)
        self.reset_round()


def _of_engine(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code.co_filename == local_trainer.__file__


def _message_difference(message: Message, first_of_round: Message, first_by_arch: dict[str, Message]) -> str:
    """How a message's form differs from those of its round and of the phase's first round, "" if it does not."""
    if message.leaves is None:
        return ""
    for other in (first_by_arch.setdefault(message.arch, message), first_of_round):
        if difference := _form_difference(other, message):
            return f"{difference} at client {message.client} and client {other.client}"
    return ""


def _form_difference(one: Message, two: Message) -> str:
    """The first difference between two messages' forms, "" if there is none: numbers of rows may differ."""
    assert one.leaves is not None and two.leaves is not None
    if one.arch == two.arch and (names := sorted(one.leaves.keys() ^ two.leaves.keys())):
        return f"{names[0]} is not in both messages:"
    for path in sorted(one.leaves.keys() & two.leaves.keys()):
        a, b = one.leaves[path], two.leaves[path]
        if a.dtype != b.dtype:
            return f"{path} has types {a.dtype} and {b.dtype}"
        rows = a.dim() == b.dim() > 0 and a.shape[1:] == b.shape[1:] and a.shape[1:].numel()
        if one.arch == two.arch and a.shape != b.shape and not rows:
            return f"{path} has shapes {tuple(a.shape)} and {tuple(b.shape)}"
    return ""


def _bytes_by_path(inputs: Mapping[str, Any]) -> dict[str, bytes]:
    named: Tree = {}
    for name, tree in inputs.items():
        named[name] = {f"of client {u.who.id}": u.message for u in tree} if name == "uploads" else tree
    return {path: _leaf_bytes(leaf) for path, leaf in trees.walk(named)}


def _leaf_bytes(leaf: Any) -> bytes:
    """Type, shape and bytes of a tensor; the text of anything else."""
    if not isinstance(leaf, torch.Tensor):
        return repr(leaf).encode()
    flat = leaf.detach().contiguous().reshape(-1)
    return str((leaf.dtype, leaf.shape)).encode() + flat.view(torch.uint8).numpy().tobytes()

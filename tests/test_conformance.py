"""`fedbench check`: honest methods pass; every kind of fault becomes a sentence with stage, path and remedy."""

from __future__ import annotations

import json
import random
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark import conformance
from benchmark.cli import invoke
from benchmark.core.errors import BenchmarkError

HEAD = """
from __future__ import annotations
import os, random, threading, time
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
import torch
from benchmark.core.api import Algorithm, Local, hyper
from benchmark.core import tree as trees

NOTES = []

@dataclass(frozen=True)
class Mine(Algorithm):
    track = ("global",)
"""
BEGIN = "def begin(self, client, message, phase, site):"
FINISH = "def finish(self, client, local, message, phase, site):"
DOWNLOAD = "def download(self, server, who, phase, key):"
LOSS = "def loss(self, params, local, batch, model):"
AGGREGATE = "def aggregate(self, server, uploads, phase, hub, key):"
USUAL = {
    BEGIN: "return super().begin(client, message, phase, site)",
    FINISH: "return client, {'model': local.params}",
    DOWNLOAD: "return super().download(server, who, phase, key)",
    LOSS: "return super().loss(params, local, batch, model)",
    AGGREGATE: "return super().aggregate(server, uploads, phase, hub, key)",
}


def written(folder: Path, body: str, head: str = HEAD) -> str:
    """A method's file."""
    path = folder / "mine.py"
    path.write_text(head + textwrap.indent(textwrap.dedent(body), "    "))
    return str(path)


def method(signature: str, line: str) -> str:
    """One overridden method: the line, then what it usually does."""
    return f"{signature}\n    {line}\n    {USUAL[signature]}\n"


# what a method does wrong -> the check that fails, and what its sentence says
BAD = {
    "numpy's generator": (
        method(FINISH, "local.params['classifier.bias'] += float(np.random.rand())"),
        "randomness", "differs between two runs of the same seed; draw from the keys"),
    "Python's generator": (
        method(FINISH, "local.params['classifier.bias'] += random.random()"),
        "randomness", "server memory/models/mlp/classifier.bias differs between two runs"),
    "torch's generator, on the server": (
        f"{DOWNLOAD}\n    return {{**super().download(server, who, phase, key), 'noise': torch.rand(2)}}\n{BEGIN}\n"
        "    return Local({n: p + message['noise'][0] for n, p in message['model'].items()})\n",
        "randomness", "differs between two runs"),
    "a class attribute": (
        "seen: ClassVar[list] = []\n" + method(FINISH, "self.seen.append(1)"),
        "state", "mine, round 1: Mine.seen has changed: state outside of memories; keep it in the memories"),
    "a module's list": (
        method(FINISH, "NOTES.append(site.who.id)"), "state", "submitted_mine.NOTES has changed"),
    "a field set by force": (
        method(BEGIN, "object.__setattr__(self, 'last', site.who.id)"), "state", "self.last has changed"),
    "the order of clients": (
        method(FINISH,
        "local.params['classifier.bias'] += getattr(random, 'last', 0.0); random.last = 0.1 * site.who.id"),
        "order", "clients must not see each other's work"),
    "not a tensor": (
        f"{FINISH}\n    return client, {{'model': local.params, 'size': 3}}\n",
        "run", ": size is a int, not a tensor; only nested dicts of tensors"),
    "another structure": (
        f"{FINISH}\n    more = {{'extra': torch.ones(2)}} if site.who.id == 3 else {{}}\n"
        "    return client, {'model': local.params, **more}\n",
        "messages", "mine, finish: round 1: extra is not in both messages: at client 3"),
    "another type": (
        f"{FINISH}\n    kind = torch.float16 if site.who.id == 3 else torch.float32\n"
        "    return client, {'model': local.params, 'extra': torch.ones(2, dtype=kind)}\n",
        "messages", "mine, finish: round 1: extra has types torch.float"),
    "an empty message": (
        f"{FINISH}\n    return client, {{'model': local.params, }} if 0 else {{}}\n{AGGREGATE}\n    return server\n",
        "messages", "the message is empty; return None"),
    "a changed message": (
        method(BEGIN, "message['model']['classifier.bias'].add_(1.0)"),
        "purity", "mine, begin: changes its input message/model/classifier.bias; write into copies (tree.copy)"),
    "a message changed by the loss": (
        f"{BEGIN}\n    return Local(message['model'], context={{'old': message['model']}})\n"
        + method(LOSS, "local.context['old']['classifier.bias'].add_(1.0)"),
        "purity", "loss, step or after_step: changes its input message/model/classifier.bias"),
    "a changed server memory": (
        method(AGGREGATE, "server['models']['mlp']['classifier.bias'].add_(1.0)"),
        "purity", "aggregate: changes its input server memory/models/mlp/classifier.bias"),
    "a changed upload": (
        method(AGGREGATE, "uploads[1].message['model'].pop('classifier.bias'); uploads = uploads[:1]"),
        "purity", "aggregate: changes its input uploads/of client"),
    "a file": (
        method(LOSS, "open('notes.txt', 'a')"), "reach", "mine, loss: reaches outside (open 'notes.txt')"),
    "a file through os, in silence": (
        method(FINISH, "\n    try: os.open('notes.txt', os.O_CREAT)\n    except Exception: pass"),
        "reach", "finish: reaches outside (open 'notes.txt'); a method opens no files"),
    "the network": (
        method(BEGIN, "import socket; socket.socket()"), "reach", "begin: reaches outside (socket.__new__"),
    "another process": (
        method(AGGREGATE, "os.system('true')"), "reach", "aggregate: reaches outside (os.system"),
    "a fork": (method(BEGIN, "os.fork()"), "reach", "begin: reaches outside (os.fork)"),
    "a thread": (
        method(BEGIN, "threading.Thread(target=time.sleep, args=(0.3,)).start()"), "reach", "begin: leaves a thread"),
    "the end of the process": (
        method(AGGREGATE, "raise SystemExit(0)"), "run", "mine: ends the process (SystemExit); raise an exception"),
    "a crash": (
        method(AGGREGATE, "uploads[9]"), "run", "aggregate in phase train, round 1: IndexError"),
    "no round": (
        "def phases(self, rounds):\n    return ()\n", "run", "there is no round in them; give at least one phase"),
    "clients that meet in a stack": (
        method(FINISH, "local.params['classifier.bias'] += 0.1 * local.params['classifier.bias'].is_contiguous()\n"
        "    import sys\n    if any('stacked' in f for f in [sys._getframe(3).f_code.co_filename]):\n"
        "        local.params['classifier.bias'] += 1.0"),
        "stacked", "from the loop's; use tensor operations that know nothing of other clients"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    vars(random).pop("last", None)


@pytest.mark.parametrize("what", BAD)
def test_a_fault_is_found_and_said_in_one_sentence(what: str, tmp_path: Path) -> None:
    body, check, words = BAD[what]
    findings = {finding.check: finding for finding in conformance.check(written(tmp_path, body))}
    assert findings[check].verdict == "failed"
    (sentence, *_) = [fault for fault in findings[check].faults if words in fault] or findings[check].faults
    assert words in sentence and sentence.startswith("mine") and "\n" not in sentence and "; " in sentence
    assert not (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize(
    ("head", "body", "words"),
    [
        (HEAD.replace("(frozen=True)", ""), "", "cannot be imported (TypeError: cannot inherit non-frozen"),
        (HEAD.replace("@dataclass(frozen=True)\n", ""), "", "Mine is not a frozen dataclass; write @dataclass"),
        (HEAD, "beta: float = hyper(-1.0, low=0)", "mine.beta is -1.0, but must be at least 0"),
        (HEAD.replace('("global",)', '("golbal",)'), "", "track is golbal; a tuple out of global, heterogeneous"),
    ],
)
def test_a_class_that_breaks_the_rules_is_not_run(head: str, body: str, words: str, tmp_path: Path) -> None:
    (finding,) = conformance.check(written(tmp_path, body, head))
    assert (finding.check, finding.verdict) == ("class", "failed") and words in finding.faults[0]


def test_an_endless_loop_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "SECONDS", 0.5)
    body = method(AGGREGATE, "\n    while True:\n        try: pass\n        except Exception: pass")
    findings = conformance.check(written(tmp_path, body))
    assert [finding.verdict for finding in findings] == ["passed", "failed", *["not run"] * 8]
    assert "mine, aggregate: does not end within 0.5 s on toy data; bound its loops" in findings[1].faults[0]


@pytest.mark.parametrize("name", ["fedavg", "scaffold", "fedproto"])
def test_an_honest_method_passes_on_every_track_that_it_claims(name: str) -> None:
    findings = conformance.check(name)
    assert {finding.verdict for finding in findings} == {"passed"}
    assert len(findings) == 1 + len(conformance.CHECKS) * len({finding.track for finding in findings} - {""})


def test_a_loss_that_cannot_be_stacked_passes_and_says_so(tmp_path: Path) -> None:
    findings = conformance.check(written(tmp_path, method(LOSS, "float(params['classifier.bias'].detach().sum())")))
    assert {finding.verdict for finding in findings} == {"passed"}
    assert "falls back to the loop" in findings[-1].note


def test_the_command_prints_a_table_and_a_line_per_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = written(tmp_path, method(LOSS, "open('notes.txt', 'a')"))
    assert invoke(["check", bad]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("fedbench: mine") and "reaches outside" in shown.err
    assert shown.out.split("\n")[0].split() == ["check", "track", "verdict", "note"]
    assert invoke(["check", bad, "--json"]) == 2
    assert {row["verdict"] for row in json.loads(capsys.readouterr().out)} == {"passed", "failed", "not run"}


def test_an_unknown_method_is_the_user_s_mistake() -> None:
    with pytest.raises(BenchmarkError, match="did you mean fedavg"):
        conformance.check("fedagv")

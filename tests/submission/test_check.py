"""`fedrepro check`: honest methods pass; every kind of fault becomes a sentence with stage, path and remedy."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from benchmark.cli import invoke
from benchmark.core.errors import BenchmarkError
from benchmark.submission import check as conformance

pytestmark = pytest.mark.slow

HEAD = """
from __future__ import annotations
from dataclasses import dataclass
import torch
from benchmark.core.api import Algorithm, Local, hyper
from benchmark.core import tree as trees

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


# what a method does wrong, beside what those in `adversaries` do -> the check that fails, and what its sentence says
BAD = {
    "numpy's generator": (
        method(FINISH, "import numpy; local.params['classifier.bias'] += float(numpy.random.rand())"),
        "randomness", "round 1/client 1/upload/model/classifier.bias differs between two runs of the same seed; draw"),
    "torch's generator, on the server": (
        f"{DOWNLOAD}\n    return {{**super().download(server, who, phase, key), 'noise': torch.rand(2)}}\n{BEGIN}\n"
        "    return Local({n: p + message['noise'][0] for n, p in message['model'].items()})\n",
        "randomness", "round 1/client 1/download/noise differs between two runs"),
    "an empty message": (
        f"{FINISH}\n    return client, {{}}\n{AGGREGATE}\n    return server\n",
        "messages", "mine, finish: the message is empty; return None"),
    "names that vary from round to round": (
        f"{DOWNLOAD}\n    turn = {{str(float(server['models']['mlp']['classifier.bias'][0])): torch.ones(1)}}\n"
        "    return {**super().download(server, who, phase, key), **turn}\n",
        "messages", "mine, download: round 2: "),
    "a changed upload": (
        method(AGGREGATE, "uploads[1].message['model'].pop('classifier.bias'); uploads = uploads[:1]"),
        "purity", "aggregate: changes its input uploads/of client"),
    "a file through os, in silence": (
        method(FINISH, "import os\n    try: os.open('notes.txt', os.O_CREAT)\n    except Exception: pass"),
        "reach", "finish: reaches outside (open 'notes.txt'); a method opens no files"),
    "another process": (
        method(AGGREGATE, "import os; os.system('true')"), "reach", "aggregate: reaches outside (os.system"),
    "the end of the process": (
        method(AGGREGATE, "raise SystemExit(0)"), "run", "mine: ends the process (SystemExit); raise an exception"),
    "a crash": (
        method(AGGREGATE, "uploads[9]"),
        "run", "aggregate in phase train, round 1: IndexError: list index out of range (mine.py, line 12)"),
    "a crash of the whole process": (
        method(LOSS, "import ctypes; ctypes.string_at(0)"), "reach", "mine, loss: reaches outside (ctypes.string_at"),
    "no round": (
        "def phases(self, rounds):\n    return ()\n", "run", "there is no round in them; give at least one phase"),
    "an unneeded import": (
        method(FINISH, "import random"), "class", "mine, class: imports random (line 12); a method imports"),
    "clients that meet in a stack": (
        method(FINISH, "bias = local.params['classifier.bias']\n"
        "    local.params['classifier.bias'] = bias + 1.0 * (bias.untyped_storage().nbytes() > bias.nbytes)"),
        "stacked", "from the loop's; use tensor operations that know nothing of other clients"),
}  # fmt: skip


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


@pytest.mark.parametrize("name", ["fedavg", "scaffold", "fedproto"])
def test_an_honest_method_passes_on_every_track_that_it_claims(name: str) -> None:
    findings = conformance.check(name)
    assert {finding.verdict for finding in findings} == {"passed"}
    assert len(findings) == 1 + len(conformance.CHECKS) * len({finding.track for finding in findings} - {""})


def test_a_loss_that_cannot_be_stacked_passes_and_says_so(tmp_path: Path) -> None:
    findings = conformance.check(written(tmp_path, method(LOSS, "float(params['classifier.bias'].detach().sum())")))
    assert {finding.verdict for finding in findings} == {"passed"}
    (stacked,) = [finding for finding in findings if finding.check == "stacked"]
    assert "falls back to the loop" in stacked.note


def test_the_command_prints_a_table_and_a_line_per_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = written(tmp_path, method(LOSS, "open('notes.txt', 'a')"))
    assert invoke(["check", bad]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("fedrepro: mine") and "reaches outside" in shown.err
    assert shown.out.split("\n")[0].split() == ["check", "track", "verdict", "note"]
    assert invoke(["check", bad, "--json"]) == 2
    assert {row["verdict"] for row in json.loads(capsys.readouterr().out)} == {"passed", "failed", "not run"}


def test_an_unknown_method_is_the_user_s_mistake() -> None:
    with pytest.raises(BenchmarkError, match="did you mean fedavg"):
        conformance.check("fedagv")

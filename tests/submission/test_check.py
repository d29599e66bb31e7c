"""`fedrepro check`: honest methods pass; every kind of fault becomes a sentence with stage, path and remedy."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from benchmark.cli import invoke
from benchmark.core.errors import BenchmarkError
from benchmark.submission.check import check
from benchmark.submission.scenarios import CHECKS

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
    "names that depend on labels": (
        f"{FINISH}\n    own = {{f'class {{c}}': torch.ones(1) for c in site.data.labels.unique().tolist()}}\n"
        "    return client, {'model': local.params, **own}\n",
        "messages", "class 2 is not in both messages: at client"),
    "rows of nothing": (
        f"{FINISH}\n    return client, {{'model': local.params, 'said': torch.zeros(site.data.size, 0)}}\n",
        "messages", "said has shapes"),
    "a changed upload": (
        method(AGGREGATE, "uploads[1].message['model'].pop('classifier.bias'); uploads = uploads[:1]"),
        "purity", "aggregate: changes its input uploads/of client"),
    "a file through os, in silence": (
        method(FINISH, "import os\n    try: os.close(os.open('notes.txt', os.O_CREAT))\n    except Exception: pass"),
        "files", "leaves files behind (notes.txt); a method writes no files"),
    "another process": (
        method(AGGREGATE, "import os; os.fork()"), "run", "aggregate in phase train, round 1: PermissionError"),
    "the end of the process": (
        method(AGGREGATE, "raise SystemExit(0)"), "run", "mine: ends the process (SystemExit); raise an exception"),
    "a crash": (
        method(AGGREGATE, "uploads[9]"),
        "run", "aggregate in phase train, round 1: IndexError: list index out of range (mine.py, line 12)"),
    "a crash of the whole process": (
        method(LOSS, "import ctypes; ctypes.string_at(0)"), "run", "loss: its process was ended by signal 11; correct"),
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
    body, failing, words = BAD[what]
    results = {result.check: result for result in check(written(tmp_path, body))}
    assert results[failing].status == "failed"
    sentence = next((fault for fault in results[failing].faults if words in fault), "")
    assert sentence.startswith("mine") and "\n" not in sentence and "; " in sentence, results[failing].faults
    assert not (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize(
    ("head", "body", "words"),
    [
        (HEAD.replace("(frozen=True)", ""), "", "cannot be imported (TypeError: cannot inherit non-frozen"),
        (HEAD.replace("@dataclass(frozen=True)\n", ""), "", "Mine is not a frozen dataclass; write @dataclass"),
        (HEAD, "beta: float = hyper(-1.0, low=0)", "mine.beta is -1.0, but must be at least 0"),
        (HEAD.replace('("global",)', '("golbal",)'), "", "track is golbal; a tuple out of global, heterogeneous"),
        (HEAD, "pooled = property(lambda self: True)", "pooled is not a plain bool of the class; write pooled = ..."),
        (HEAD, "pooled: bool = hyper(False)", "pooled is not a plain bool of the class; write pooled = ..."),
    ],
)
def test_a_class_that_breaks_the_rules_is_not_run(head: str, body: str, words: str, tmp_path: Path) -> None:
    (result,) = check(written(tmp_path, body, head))
    assert (result.check, result.status) == ("class", "failed") and words in result.faults[0]


def test_every_fault_is_printed_and_an_unknown_network_is_one_of_them(tmp_path: Path) -> None:
    body = "def network(self, arch):\n    return 'nowhere'\n" + method(FINISH, "import random")
    (class_result, *others) = check(written(tmp_path, body))
    assert [fault.partition(";")[0] for fault in class_result.faults] == [
        "mine, class: imports random (line 14)",
        "mine, network: unknown network 'nowhere' (line 12)",
    ]
    assert {result.status for result in others if result.check == "run"} == {"failed"}


@pytest.mark.parametrize("name", ["fedavg", "scaffold", "fedproto"])
def test_an_honest_method_passes_on_every_track_that_it_claims(name: str) -> None:
    results = check(name)
    assert [fault for result in results for fault in result.faults] == []
    assert {result.status for result in results} == {"passed"}
    assert len(results) == 1 + len(CHECKS) * len({result.track for result in results} - {""})


def test_a_row_per_image_silence_for_some_and_randomness_by_the_site_s_key_are_allowed(tmp_path: Path) -> None:
    body = (
        f"{DOWNLOAD}\n    return None if who.id == 1 else super().download(server, who, phase, key)\n{BEGIN}\n"
        "    return Local(message['model'] if message else site.model.init(site.key('start')))\n"
        f"{FINISH}\n    noise = torch.rand(site.data.size, 2, generator=site.key('noise').torch())\n"
        "    return client, {'model': local.params, 'noise': noise}\n"
    )
    results = check(written(tmp_path, body))
    assert [fault for result in results for fault in result.faults] == []


def test_a_loss_that_cannot_be_stacked_passes_and_says_so(tmp_path: Path) -> None:
    results = check(written(tmp_path, method(LOSS, "float(params['classifier.bias'].detach().sum())")))
    assert {result.status for result in results} == {"passed"}
    (stacked,) = [result for result in results if result.check == "stacked"]
    assert "falls back to the loop" in stacked.note


def test_the_command_prints_a_table_and_a_line_per_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = written(tmp_path, method(LOSS, "open('notes.txt', 'a')"))
    assert invoke(["check", bad]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("fedrepro: mine, class: uses open (line 12)")
    assert shown.out.split("\n")[0].split() == ["check", "track", "status", "note"]
    assert invoke(["check", bad, "--json"]) == 2
    assert {row["status"] for row in json.loads(capsys.readouterr().out)} == {"passed", "failed"}


def test_an_unknown_method_is_the_user_s_mistake() -> None:
    with pytest.raises(BenchmarkError, match="did you mean fedavg"):
        check("fedagv")

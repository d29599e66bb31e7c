"""Commands on records: which rows and columns they print, what they refuse, with which exit code."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.cli import invoke
from benchmark.records.index import ResultsIndex
from helpers.handmade_records import TASK, example_results, make, write


def test_findings_of_verify_end_with_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.pipeline.verify.verify", lambda root: ["params.yaml: is missing"])
    assert invoke(["verify"]) == 1
    assert capsys.readouterr().out == "params.yaml: is missing\n"


def test_nothing_is_rebuilt_from_stale_records(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    results, done = example_results(tmp_path), list[Path]()
    monkeypatch.setattr("benchmark.cli.rebuild.ROOT", tmp_path)
    monkeypatch.setattr("benchmark.cli.rebuild.RESULTS", results)
    monkeypatch.setattr("benchmark.pipeline.stages.rebuild", done.append)
    monkeypatch.setattr("benchmark.records.index.index_with_live_methods", ResultsIndex.load)
    assert invoke(["rebuild"]) == 0 and done == [tmp_path]
    write(results, make("fedavg", 1, engine=0))
    assert invoke(["rebuild"]) == 1 and done == [tmp_path]
    assert f"1 records are not valid, results/{TASK}/fedavg/1.json for one" in capsys.readouterr().err


def test_a_board_is_of_the_tasks_that_one_names(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    results = example_results(tmp_path)
    assert invoke(["board", "--results", str(results), "--tasks", "digits-mixed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {}
    assert invoke(["board", "--results", str(results), "--tasks", TASK, "--json"]) == 0
    assert [row["method"] for row in json.loads(capsys.readouterr().out)[TASK]] == ["fedntd", "fedavg", "fedprox"]


def test_open_claims_are_those_without_a_verdict(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    results = example_results(tmp_path)
    made = [f"{{id: {method}, tasks: [{TASK}], methods: [{method}], value: 52.0}}" for method in ("fedavg", "moon")]
    source = "sources: [{paper: P, table: T, source: S, seen: true, claims: [%s]}]"
    (results / "claims.yaml").write_text(source % ", ".join(made))
    for words, names in (([], ["fedavg", "moon"]), (["--open"], ["moon"])):
        assert invoke(["claims", "--results", str(results), "--json", *words]) == 0
        assert [finding["id"] for finding in json.loads(capsys.readouterr().out)] == names


def on_terminal(words: list[str], columns: int) -> list[str]:
    """The lines that a command shows on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    program = [sys.executable, "-c", "from benchmark.cli import main; main()", *words]
    with subprocess.Popen(program, stdout=theirs, env={**os.environ, "COLUMNS": str(columns)}):
        os.close(theirs)
        shown = b""
        while part := _read(ours):
            shown += part
    os.close(ours)
    return shown.decode().splitlines()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_a_table_fits_the_terminal_and_keeps_every_letter() -> None:
    """Wrapped columns lose nothing: line by line, a column's pieces make up its cell, and names are whole."""
    program = [sys.executable, "-c", "from benchmark.cli import main; main()", "list", "tasks"]
    wide = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    narrow = on_terminal(["list", "tasks"], 120)
    assert max(map(len, wide.splitlines())) > 200 and max(map(len, narrow)) == 120
    assert {line.split()[0] for line in wide.splitlines()} <= {line.split()[0] for line in narrow}
    start, networks = narrow[0].index("networks"), ", ".join(f"fedmd_cifar_{number}" for number in range(10))
    at = next(place for place, line in enumerate(narrow) if line.startswith("paper-fedmd-t4-cifar-iid "))
    pieces = [narrow[at][start:]]
    for line in narrow[at + 1 :]:
        if not line.startswith(" "):
            break
        pieces.append(line[start:])
    assert "".join("".join(pieces).split()) == networks.replace(" ", "")

"""What helps whoever submits, cites, installs or looks at a record elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmark.cli import diagnostics, invoke
from benchmark.core import method_files
from benchmark.core.errors import BenchmarkError
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.records import tensorboard
from benchmark.submission import scaffold
from helpers.handmade_records import TASK, make, write

ROOT = Path(__file__).parents[2]


def test_a_new_method_is_thirty_lines_and_what_its_test_says_of_them_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaffold, "CHECKOUT", False)
    monkeypatch.setattr(scaffold, "ROOT", tmp_path)
    method, test = scaffold.new("my_own")
    assert (method, test) == (tmp_path / "algorithms" / "my_own.py", tmp_path / "tests" / "test_my_own.py")
    assert 25 <= len(method.read_text().splitlines()) <= 35 and "class MyOwn(Algorithm)" in method.read_text()
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, str(test), "-k", "limit or fedavg"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def outcome() -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert "2 passed" in outcome()
    method.write_text((ROOT / "algorithms" / "fedprox.py").read_text())  # a method of one's own, with other fields
    assert "1 passed, 1 skipped" in outcome()
    test.write_text(test.read_text().replace('LIMIT = {"strength": 0.0}', 'LIMIT = {"mu": 0.0}'))
    assert "2 passed" in outcome()
    with pytest.raises(BenchmarkError, match="there is a method my_own already"):
        scaffold.new("my_own")


@pytest.mark.parametrize(("name", "words"), [("fedavg", "already"), ("My", "names no method"), ("a-b", "names no")])
def test_names_that_cannot_be_are_refused(capsys: pytest.CaptureFixture[str], name: str, words: str) -> None:
    assert invoke(["new", name]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", method_files.names())
def test_every_paper_has_its_entry(name: str) -> None:
    paper = method_files.describe(name)["paper"]
    if not paper:
        with pytest.raises(BenchmarkError, match=f"{name} has no paper"):
            scaffold.cite(name)
        return
    entry = scaffold.cite(name)
    surname, year = re.match(r"(\w+).*? (\d{4})", paper).groups()  # type: ignore[union-attr]
    assert re.search(rf"author = \{{{surname},", entry) and f"year = {{{year}}}" in entry


def test_the_suite_s_own_citation_names_the_seeds_papers_and_the_changes_their_versions() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {entry["identifiers"][0]["value"] for entry in citation["references"]} == {
        "arXiv:1811.11479", "arXiv:1910.03581", "arXiv:2006.07242", "arXiv:2106.03097", "arXiv:2207.09158",
        "arXiv:2002.04758",
    }  # fmt: skip
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert f"## {citation['version']}, protocol {PROTOCOL}, engine {ENGINE}" in changes
    assert f'version = "{citation["version"]}"' in (ROOT / "pyproject.toml").read_text()


def test_the_doctor_says_what_to_do_about_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(diagnostics.EXTRAS, "report", ("altair", "nowhere_to_be_found"))
    assert invoke(["doctor", "--json"]) == 0
    found = {line["what"]: line for line in json.loads(capsys.readouterr().out)}
    assert found["extra: report"]["found"] == "lacks nowhere_to_be_found"
    assert found["extra: report"]["remedy"] == "pip install 'fedrepro[report]'"
    assert found["data: digits"]["remedy"] == "" and found["data: svhn"]["remedy"].startswith("fedrepro data get svhn")
    assert re.search(r"cells per seed, about \d+ (s|min)", found["quick suite"]["found"])
    assert found["extra: tensorboard"]["found"] == "installed" and int(found["cores"]["found"]) >= 1


def test_a_record_becomes_curves_of_tensorboard(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    made = make("fedavg", 0, 0.625)
    write(tmp_path, made)
    words = ["export", str(tmp_path / made.path), "--tensorboard", str(tmp_path / "log")]
    assert invoke(words) == 0
    events = EventAccumulator(str(tmp_path / "log" / TASK / "fedavg" / "0")).Reload()
    assert [(point.step, point.value) for point in events.Scalars("accuracy")] == [(40, 0.625)]
    assert [point.value for point in events.Scalars("MB")] == [8.0] and len(events.Tags()["scalars"]) == 3 + 10
    assert invoke(words) == 2
    assert "holds an export already" in capsys.readouterr().err


def test_what_cannot_be_exported_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, make("fedavg", 0), make("fedprox", 0, accuracy=None))
    with pytest.raises(BenchmarkError, match="loss is nan; only finished runs have curves"):
        tensorboard.tensorboard(tmp_path / TASK / "fedprox" / "0.json", tmp_path / "log")
    for name in [name for name in sys.modules if name.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(BenchmarkError, match=r"install it: pip install 'fedrepro\[tensorboard\]'"):
        tensorboard.tensorboard(tmp_path / TASK / "fedavg" / "0.json", tmp_path / "log")


def test_the_shell_completes_commands() -> None:
    variables = {"_FEDREPRO_COMPLETE": "complete_bash", "COMP_WORDS": "fedrepro cam", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", "from benchmark.cli import main; main()"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["campaign"], done.stderr

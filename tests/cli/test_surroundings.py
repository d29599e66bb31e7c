"""Users without a home folder, folders that cannot be written and other locales: one sentence each, and equal bytes."""

from __future__ import annotations

import ast
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.cli import invoke
from benchmark.core.errors import BenchmarkError
from benchmark.core.user_paths import expanded
from benchmark.paths import ROOT


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without HOME and without an entry in /etc/passwd."""

    def unknown(user: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    for name in ("HOME", "FEDREPRO_CACHE", "FEDREPRO_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.parametrize("words", ["run fedavg --task digits-shards --out {out}", "data status", "doctor"])
@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_folder_is_told_what_to_set(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(words.format(out=tmp_path / "out").split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs a home folder, and this user has none; set FEDREPRO_" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder_other_paths_are_as_they_were() -> None:
    assert expanded("data/~", "X") == Path("data/~")
    with pytest.raises(BenchmarkError, match="set X to a folder"):
        expanded("~/data", "X")


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEDREPRO_CACHE", "/proc/cache")
    assert invoke(["run", "fedavg", "--task", "digits-shards", "--rounds", "1", "--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "digits cannot be cached" in line and "set FEDREPRO_CACHE to another folder" in line
    assert not (tmp_path / "out").exists()


def test_text_is_utf_8_whatever_the_locale() -> None:
    """Of every call that reads or writes text, here or in what it runs: an encoding, or bytes."""
    lacking = []
    for path in sorted((ROOT / "benchmark").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            named = {keyword.arg for keyword in node.keywords}
            runs = node.func.attr in ("run", "Popen", "check_output") and {"text", "universal_newlines"} & named
            reads = node.func.attr in ("read_text", "write_text") or runs
            if reads and "encoding" not in named:
                lacking.append(f"{path.name}:{node.lineno}")
    assert not lacking


def test_a_new_method_has_the_same_bytes_in_a_locale_of_ascii(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from benchmark.submission import scaffold as s; s.CHECKOUT = False; "
        "s.ROOT = Path(sys.argv[1]); s.new('my_own')"
    )
    texts = []
    for number, locale in enumerate(({"PYTHONUTF8": "1"}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})):
        folder = tmp_path / str(number)
        surroundings = {**os.environ, "LC_ALL": "C", "PYTHONPATH": str(ROOT), **locale}
        command = [sys.executable, "-c", script, str(folder)]
        assert subprocess.run(command, env=surroundings, cwd=tmp_path, check=False).returncode == 0
        texts.append((folder / "algorithms" / "my_own.py").read_bytes())
    assert texts[0] == texts[1] and "λ".encode() in texts[0]

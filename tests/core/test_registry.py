"""The hash of a part of one's own covers all that its numbers may rest on beside its own lines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmark.core import registry

PART = """
import {helper}
import numpy as np
import fedrepro as fr

SHARE = 1.0

@fr.partition("mine")
def mine(labels, clients, key):
    return {helper}.cut(labels, SHARE)
"""


def digest(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "mine") -> str:
    """The hash in a process that has just read the files."""
    for module in [module for module in sys.modules if module.startswith(("parts_", "cuts_", "below_"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(registry, "_EXTENSIONS", {})
    monkeypatch.setattr(registry, "_FILES_READ", set())
    monkeypatch.setenv(registry.FILES, str(folder / "one.py"))
    assert registry.find("partition", name) is not None
    return registry.source_sha256("partition", name)


def test_constants_and_modules_beside_a_part_count_and_others_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "parts", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), str(elsewhere), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (folder / "one.py").write_text(PART.format(helper="cuts_beside"))
    (folder / "cuts_beside.py").write_text("from below_beside import cut\nimport below_elsewhere\n")
    (folder / "below_beside.py").write_text("def cut(labels, share): return share\n")
    (elsewhere / "below_elsewhere.py").write_text("x = 1\n")
    hashes = [digest(folder, monkeypatch), digest(folder, monkeypatch)]
    assert hashes[0] == hashes[1]
    (elsewhere / "below_elsewhere.py").write_text("x = 2\n")
    assert digest(folder, monkeypatch) == hashes[0]
    for path, old, new in (
        (folder / "one.py", "SHARE = 1.0", "SHARE = 0.1"),
        (folder / "cuts_beside.py", "import below_elsewhere", "import below_elsewhere as other"),
        (folder / "below_beside.py", "return share", "return -share"),
    ):
        path.write_text(path.read_text().replace(old, new))
        hashes.append(digest(folder, monkeypatch))
    assert len(set(hashes)) == 4

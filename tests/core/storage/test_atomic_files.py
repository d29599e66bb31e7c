"""A temporary file is new: it follows no link and takes over nothing that stood under its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import write_atomic


def temporary(path: Path) -> Path:
    """The name that this process will use."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@pytest.mark.parametrize("kind", [os.symlink, os.link])
def test_a_link_that_waits_under_the_temporary_name_leads_nowhere(kind: object, tmp_path: Path) -> None:
    victim, target = tmp_path / "victim", tmp_path / "0.json"
    victim.write_text("mine")
    assert callable(kind)
    kind(victim, temporary(target))
    write_atomic(target, "new")
    assert victim.read_text() == "mine"
    assert target.read_text() == "new" and not target.is_symlink()
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_a_folder_under_the_temporary_name_is_one_sentence_and_the_old_file_stays(tmp_path: Path) -> None:
    target = tmp_path / "0.json"
    target.write_text("old")
    temporary(target).mkdir()
    with pytest.raises(BenchmarkError, match="cannot be written"):
        write_atomic(target, "new")
    assert target.read_text() == "old"


def test_a_new_file_has_the_rights_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    write_atomic(tmp_path / "one", "")
    assert (tmp_path / "one").stat().st_mode == (tmp_path / "other").stat().st_mode

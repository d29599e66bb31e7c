"""Status: per dataset what is there, from where, and the one command that gets what is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.data import cache
from benchmark.core.data.status import get, status


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDREPRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FEDREPRO_DATA", str(tmp_path / "archives"))
    monkeypatch.delenv("FEDREPRO_MIRROR", raising=False)
    monkeypatch.setattr("benchmark.core.data.sources.DEBIAN", tmp_path / "no-such-package")
    return tmp_path


def row(name: str) -> dict[str, Any]:
    return next(row for row in status() if row["name"] == name)


def test_a_bare_machine_has_the_embedded_digits_and_commands_for_the_rest() -> None:
    assert row("digits") == {
        "name": "digits",
        "state": "available",
        "sources": ["embedded"],
        "origin": None,
        # 1,797 images of 64 bytes with a label of one byte.
        "bytes": 1797 * 65,
        "command": "fedrepro data get digits",
        "note": "",
    }
    missing = {r["name"]: r["command"] for r in status() if r["state"] == "missing"}
    assert missing == {
        "mnist": "fedrepro data get mnist --download",
        "fashion_mnist": "apt-get install dataset-fashion-mnist",
        "cifar10": "fedrepro data get cifar10 --download",
        "cifar100": "fedrepro data get cifar100 --download",
        "svhn10k": "FEDREPRO_MIRROR=<folder> fedrepro data get svhn10k",
        "svhn": "fedrepro data get svhn --download",
    }
    assert "no fingerprint is known yet" in row("svhn")["note"]


def test_what_was_decoded_is_cached_with_its_origin() -> None:
    # Four array files add 128 bytes of header each.
    expected = {"state": "cached", "origin": "embedded", "bytes": 1797 * 65 + 4 * 128, "command": None}
    assert get("digits").items() >= expected.items()
    assert row("digits").items() >= expected.items()


def test_damage_shows_with_the_command_that_repairs_it() -> None:
    get("digits")
    (cache.folder("digits") / "test-images.npy").unlink()
    damaged = row("digits")
    assert (damaged["state"], damaged["command"]) == ("damaged", "fedrepro data get digits")
    assert "test-images.npy is missing" in damaged["note"]
    assert get("digits")["state"] == "cached"


def test_looking_imports_no_heavy_library() -> None:
    program = (
        "import sys; from benchmark.core.data.status import status; status()\n"
        "print([name for name in ('torch', 'torchvision', 'sklearn', 'scipy') if name in sys.modules])"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, env=os.environ)
    assert done.stdout.strip() == "[]", done.stderr

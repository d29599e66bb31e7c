"""Memory of worker processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmark.core.backends.huge_pages import HUGE, VARIABLE, huge_pages

TENSORS = """
import resource, torch

for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.ones(2 << 20) for _ in range(12)]
    new = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    del held
print(new)
"""


def new_pages() -> int:
    """Pages that twelve tensors of 8 MB take from the system when as many have just been freed."""
    return int(subprocess.run([sys.executable, "-c", TENSORS], capture_output=True, text=True, check=True).stdout)


def test_tensors_of_a_hundred_megabytes_take_no_thousand_pages() -> None:
    """Small pages, of 4 kB, would be 24,576, unless freed ones are used again."""
    with huge_pages():
        assert new_pages() < 1_000


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "glibc.malloc.check=0")
    with huge_pages():
        assert os.environ[VARIABLE] == "glibc.malloc.check=0"
    assert os.environ[VARIABLE] == "glibc.malloc.check=0"


def test_other_processes_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with huge_pages():
        assert os.environ[VARIABLE] == HUGE
    assert VARIABLE not in os.environ

"""Cores, and the memory of worker processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmark.core.processes import HUGE_PAGES, TUNABLES, cores, huge_pages

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
    monkeypatch.setenv(TUNABLES, "glibc.malloc.check=0")
    with huge_pages():
        assert os.environ[TUNABLES] == "glibc.malloc.check=0"
    assert os.environ[TUNABLES] == "glibc.malloc.check=0"


def test_other_processes_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TUNABLES, raising=False)
    with huge_pages():
        assert os.environ[TUNABLES] == HUGE_PAGES
    assert TUNABLES not in os.environ


def test_there_is_a_core_with_or_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    assert cores() == os.cpu_count()

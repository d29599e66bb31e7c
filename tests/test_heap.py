"""Freed memory is used again."""

from __future__ import annotations

import resource
import subprocess
import sys

ROUNDS = """
import resource, torch
from benchmark.core import heap

heap.keep()
for _ in range(8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.ones(2 << 20) for _ in range(12)]
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_a_hundred_megabytes_that_were_free_before_take_no_new_pages() -> None:
    """12 tensors of 8 MB, eight times; glibc left to itself returns them to the system in one process of three."""
    new = int(subprocess.run([sys.executable, "-c", ROUNDS], capture_output=True, text=True, check=True).stdout)
    assert new * resource.getpagesize() < 8 << 20

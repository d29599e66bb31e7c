"""Freed memory is used again."""

from __future__ import annotations

import resource
import sys

import torch

from benchmark.core import heap

PAGES = (16 << 20) // resource.getpagesize()  # of a tensor of 16 MB


def test_twenty_tensors_one_after_another_take_fewer_new_pages_than_two() -> None:
    """Where the C library is glibc; elsewhere the call does nothing."""
    heap.keep()
    torch.ones(4 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(4 << 20)
    new = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert new < 2 * PAGES or sys.platform != "linux"

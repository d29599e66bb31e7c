"""How a process computes, fixed so that bits do not depend on who does the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def fix() -> None:
    """One thread, as sums split over threads round otherwise; and denormal numbers, below 1e-38, count as zero.

    Those arise where a client has learnt its few classes by heart. They move no weight, and processors take many times
    as long over them. A thread that works for a run calls this itself: the second half holds for the thread alone.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


@contextmanager
def fixed() -> Iterator[None]:
    """The same for a while, in a process that also does other work: NumPy warns where denormal numbers are zero."""
    fix()
    try:
        yield
    finally:
        torch.set_flush_denormal(False)

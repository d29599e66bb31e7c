"""Settings of a process that make the bits of a result independent of who computes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def enable() -> None:
    """Use one thread, and treat denormal numbers (below 1e-38) as zero.

    Sums that are divided among threads round differently. Denormal numbers arise where a client has memorised its few
    classes; they change no weight, but slow processors down. Every thread that computes must call this, since the
    treatment of denormal numbers is a setting of the thread.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


@contextmanager
def enabled() -> Iterator[None]:
    """`enable` for a while, in a process that also does other work: NumPy warns where denormal numbers are zero."""
    enable()
    try:
        yield
    finally:
        torch.set_flush_denormal(False)

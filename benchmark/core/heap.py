"""The allocator of the C library: steps of training ask for the same sizes again and again."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
KEPT, MAPPED = 1 << 30, 32 << 20  # bytes; 32 MB is the most that glibc takes


def keep() -> None:
    """Freed memory stays with this process, up to 1 GB; the system would hand it out again page by page.

    Without glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, MAPPED)
        mallopt(TRIM_THRESHOLD, KEPT)

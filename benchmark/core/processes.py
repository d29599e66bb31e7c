"""Processes of the operating system: how many cores there are, their memory, and their end. Does not import torch."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

TUNABLES, HUGE_PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def huge_pages() -> Iterator[None]:
    """Processes that start within get their memory in huge pages, where the C library is glibc and Linux has any.

    A training step asks again for the memory that the last one freed, which is slow with small pages. What the user
    has set stays.
    """
    already_set = TUNABLES in os.environ
    os.environ.setdefault(TUNABLES, HUGE_PAGES)
    try:
        yield
    finally:
        if not already_set:
            del os.environ[TUNABLES]


def exit_with_parent() -> None:
    """End this process when its parent has ended, even if that was killed."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

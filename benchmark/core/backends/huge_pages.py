"""Memory of worker processes: a step frees what the next one asks for again, which small pages make slow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE, HUGE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"


@contextmanager
def huge_pages() -> Iterator[None]:
    """Processes that start in here get their memory in huge pages where the C library is glibc and Linux has any.

    What the user has set stays.
    """
    given = VARIABLE in os.environ
    os.environ.setdefault(VARIABLE, HUGE)
    try:
        yield
    finally:
        if not given:
            del os.environ[VARIABLE]

"""The process from which sandboxed ones are forked: it has imported torch and has never held any data."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

PRELOADED = (
    "benchmark.core.isolation.preload",
    "benchmark.core.isolation.handlers",
    "benchmark.submission.scenarios",
    "benchmark.core.method_files",
    "algorithms",
)


def context() -> ForkServerContext:
    """How to fork from it; it starts in the background, so that it imports while its caller does."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(list(PRELOADED))
    forkserver.ensure_running()
    return found

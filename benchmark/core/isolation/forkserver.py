"""The fork server of sandboxed processes: it has imported torch and has never held any data."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

PRELOAD = (
    "benchmark.core.isolation.preload",
    "benchmark.core.isolation.handlers",
    "benchmark.submission.scenarios",
    "benchmark.core.method_files",
    "algorithms",
)


def context() -> ForkServerContext:
    """The context whose processes fork from it; it starts in the background."""
    result = multiprocessing.get_context("forkserver")
    result.set_forkserver_preload(list(PRELOAD))
    forkserver.ensure_running()
    return result

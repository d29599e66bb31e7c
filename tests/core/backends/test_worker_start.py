"""A worker process that cannot start says why."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from benchmark.core import method_files
from benchmark.core.backends import EvaluateJob, ProcessPoolBackend
from benchmark.core.errors import BenchmarkError
from benchmark.experiments.cell import Cell

pytestmark = pytest.mark.slow


def test_what_a_worker_raises_at_its_start_is_what_the_run_says() -> None:
    config = Cell("digits-shards", "fedavg").prepare().worker_config()
    broken = replace(config, algorithm=partial(method_files.make, "fedavg", {"train.lr": 0.1}))
    pool = ProcessPoolBackend(broken, 1, lambda client: 1)
    try:
        with pytest.raises(BenchmarkError, match=r"method fedavg has no field train\.lr"):
            pool.map([EvaluateJob("mlp", b"", 0, 1)])
    finally:
        pool.close()

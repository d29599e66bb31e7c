"""How processes compute: the same in all of them, and only while they work for a run."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import torch

from benchmark.core.backends import ProcessPoolBackend, SerialBackend
from benchmark.core.client.determinism import enabled
from benchmark.core.server.rounds import Run
from helpers.full_run import OPTIONS, HalvingMethod, open_federation, worker_config

pytestmark = pytest.mark.slow

TINY = torch.tensor([2e-39])  # below 1.2e-38, the smallest float32 with full precision


def test_denormal_numbers_are_zero_for_a_while() -> None:
    assert (TINY / 2).item() > 0
    with pytest.raises(KeyError), enabled():
        assert (TINY / 2).item() == 0 and torch.get_num_threads() == 1
        raise KeyError
    assert (TINY / 2).item() > 0


@pytest.mark.parametrize("workers", [0, 2])
def test_denormal_numbers_are_zero_for_clients_and_server(workers: int, tmp_path: Path) -> None:
    federation = open_federation(OPTIONS, HalvingMethod())
    backend = (
        ProcessPoolBackend(worker_config(HalvingMethod), workers, lambda client: 1)
        if workers
        else SerialBackend(worker_config(HalvingMethod))
    )
    with closing(backend):
        run = Run(federation, HalvingMethod(), backend, tmp_path, "halving")
        run.execute()
    assert run.server["halves"].tolist() == [0.0] * (federation.task.cohort + 1)
    assert (TINY / 2).item() > 0

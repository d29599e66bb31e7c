"""Large messages between processes: the same bytes, laid down once, and nothing left behind."""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from algorithms.fedavg import FedAvg
from benchmark.core.api import Phase
from benchmark.core.backends import ClientJob, ClientResult, EvaluateJob, ProcessPoolBackend, SerialBackend
from benchmark.core.backends.shared_memory import (
    MAX_OPEN,
    MIN_BYTES,
    SharedBuffer,
    SharedMemoryTransport,
    available,
    store_reply,
)
from benchmark.core.client.local_training import Work
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.storage import serialization
from helpers.full_run import open_federation, worker_config

pytestmark = pytest.mark.slow

LARGE: dict[str, Any] = {"sizes": (4, 4, 4, 4), "networks": ("cnn_fedntd",), "shape": (3, 32, 32), "classes": 10}
PHASE = Phase("train", 1)
WORK = Work(steps=3, images={"private": 12})
DATA = bytes(range(256)) * (MIN_BYTES // 256)


def visits(message: bytes, folder: Path) -> list[ClientJob]:
    """First visits of four clients with one message."""
    return [ClientJob(client, PHASE, 0, 1, message, None, folder / f"client-{client}") for client in range(4)]


def crossed(thing: Any) -> Any:
    """As it arrives in another process."""
    return pickle.loads(pickle.dumps(thing))


def buffers() -> int:
    """Blocks that this process holds."""
    paths = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    return sum(path.is_symlink() and "memfd:fedrepro" in os.readlink(path) for path in paths)


@pytest.fixture
def _nothing_stays_open() -> Iterator[None]:
    yield
    gc.collect()
    assert buffers() == 0


@pytest.mark.usefixtures("_nothing_stays_open")
def test_a_message_lies_in_memory_once_for_all_who_get_it(tmp_path: Path) -> None:
    transport, jobs = SharedMemoryTransport(), visits(DATA, tmp_path)
    sent = [transport.share(job) for job in jobs]
    assert len(transport.buffers) == buffers() == 1 and all(len(pickle.dumps(job)) < 1_000 for job in sent)
    assert [crossed(job) for job in sent] == jobs
    judge = EvaluateJob("mlp", DATA + b"x", 0, 4)
    assert crossed(transport.share(judge)) == judge and len(transport.buffers) == 2


@pytest.mark.usefixtures("_nothing_stays_open")
def test_an_upload_lies_where_it_is_awaited() -> None:
    place, result = (
        SharedBuffer(),
        ClientResult(serialization.EncodedMessage(DATA, {"model": MIN_BYTES}), True, None, WORK),
    )
    answer = store_reply(result, place.path)
    assert len(pickle.dumps(answer)) < 1_000 and crossed(answer) == result


@pytest.mark.usefixtures("_nothing_stays_open")
def test_small_messages_and_those_beyond_the_most_take_the_pipe(tmp_path: Path) -> None:
    small, large = visits(DATA[1:], tmp_path)[0], visits(DATA, tmp_path)[0]
    transport, place = SharedMemoryTransport(), SharedBuffer()
    assert transport.share(small) is small
    result = ClientResult(serialization.EncodedMessage(DATA[1:], {}), False, None, WORK)
    assert store_reply(result, place.path) is result and store_reply(result, None) is result
    assert store_reply(replace(result, upload=serialization.EncodedMessage(DATA, {})), None).upload.data == DATA
    transport.replies = MAX_OPEN - 1
    assert transport.reserve_reply(large) is not None and transport.reserve_reply(large) is None
    assert transport.reserve_reply(EvaluateJob("mlp", DATA, 0, 4)) is None


def test_without_shared_memory_everything_takes_the_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    available.cache_clear()
    try:
        transport, job = SharedMemoryTransport(), visits(DATA, tmp_path)[0]
        assert transport.share(job) is job and transport.reserve_reply(job) is None
    finally:
        available.cache_clear()


@pytest.mark.usefixtures("_nothing_stays_open")
def test_a_pool_has_the_bits_of_one_process_and_outlives_a_failed_job(tmp_path: Path) -> None:
    model = open_federation(LARGE, FedAvg()).model("cnn_fedntd").init(Key(0))
    jobs = visits(serialization.encode({"model": model}, "test").data, tmp_path)
    assert len(jobs[0].message) > 8_000_000
    alone = [one.upload for one in SerialBackend(worker_config(FedAvg, LARGE)).map(jobs)]
    with closing(ProcessPoolBackend(worker_config(FedAvg, LARGE), 2, lambda client: 1)) as pool:
        results = pool.submit(jobs)
        assert buffers() > 0  # what four clients get and send is not in the pipes
        assert [one.upload for one in results()] == alone
        del results
        with pytest.raises(BenchmarkError, match="not an encoded message"):
            pool.map([replace(job, message=DATA) for job in jobs] + jobs)
        assert [one.upload for one in pool.map(jobs)] == alone

"""Backends: order of results, what a worker's death looks like, and that no process is ever left behind."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pytest

from algorithms.fedavg import FedAvg
from benchmark.core import tree as trees
from benchmark.core.api import Phase, torch
from benchmark.core.backends import ClientJob, EvaluateJob, ProcessPoolBackend, SerialBackend
from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.keys import Key
from benchmark.core.storage import checkpoint, serialization
from helpers.full_run import OPTIONS, worker_config
from helpers.small_federation import small_federation

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PHASE = Phase("train", 1)


def visits(folder: Path, clients: tuple[int, ...] = (0, 1, 2, 3)) -> list[ClientJob]:
    """First visits of FedAvg clients of the small federation."""
    model = small_federation().model("mlp").init(Key(0))
    message = serialization.encode({"model": model}, "test").data
    return [
        ClientJob(client, PHASE, 0, 1, message, None, folder / f"client-{client}-1.safetensors") for client in clients
    ]


def evaluation(rows: int) -> EvaluateJob:
    """All test samples below a row."""
    model = small_federation().model("mlp").init(Key(0))
    return EvaluateJob("mlp", serialization.encode(model, "test").data, 0, rows)


def test_results_come_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    jobs = visits(tmp_path)
    forwards, backwards = (SerialBackend(worker_config(FedAvg, {}), reverse).map(jobs) for reverse in (False, True))
    assert [one.upload for one in forwards] == [one.upload for one in backwards]
    assert len({one.upload.data for one in forwards}) == 4


def test_a_visit_s_randomness_is_keyed_by_phase_round_and_client(tmp_path: Path) -> None:
    worker = SerialBackend(worker_config(FedAvg, {})).worker
    keys = {
        replace(job, phase=Phase(name, 2), round=round_, number=1).open(worker).key.seed
        for name in ("meet", "train") for round_ in (0, 1) for job in visits(tmp_path)
    }  # fmt: skip
    assert len(keys) == 2 * 2 * 4
    job = visits(tmp_path)[0]
    assert job.open(worker).key == replace(job, number=7).open(worker).key  # opening phases change no later draw


def test_judging_has_the_precision_of_the_run() -> None:
    # The model answers the biases (1, 1 + 2^-10, 0) to every image: bf16 has 8 bits, so that both are 1 and the first
    # class is named; in fp32 it is the second. There are 10 test images of each class.
    model = trees.zeros(small_federation().model("mlp").init(Key(0)))
    model["classifier.bias"] = torch.tensor([1.0, 1 + 2**-10, 0.0])
    job = EvaluateJob("mlp", serialization.encode(model, "test").data, 0, 30)
    for precision, expected in (("fp32", [0, 10, 0]), ("bf16", [10, 0, 0])):
        (sums,) = SerialBackend(replace(worker_config(FedAvg, {}), precision=precision)).map([job])
        assert sums.hits == expected


def test_visits_of_clients_without_memory_leave_no_file(tmp_path: Path) -> None:
    assert not any(one.has_memory for one in SerialBackend(worker_config(FedAvg, {})).map(visits(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_memory_that_is_not_the_client_s_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "client-0-1.safetensors", {"x": torch.zeros(1)}, {"client": 3, "round": 1})
    job = visits(tmp_path, (0,))[0]
    with pytest.raises(BenchmarkError, match="memory of client 3"):
        SerialBackend(worker_config(FedAvg, {})).map([ClientJob(**{**vars(job), "memory_in": job.memory_out})])


def test_a_pool_answers_in_order_survives_errors_and_names_a_dead_worker(tmp_path: Path) -> None:
    sizes = {0: 1, 1: 5, 2: 3, 3: 4}
    pool = ProcessPoolBackend(worker_config(FedAvg, {}), 1, sizes.__getitem__)
    try:
        serial = SerialBackend(worker_config(FedAvg, {}))
        jobs = visits(tmp_path)
        assert [one.upload for one in pool.map(jobs)] == [one.upload for one in serial.map(jobs)]
        counts = [evaluation(rows) for rows in (30, 0, 7)]
        assert pool.map(counts) == serial.map(counts)
        assert pool.map([]) == []
        bad = EvaluateJob("mlp", b"x", 0, 30)
        with pytest.raises(BenchmarkError, match="not an encoded message"):
            pool.map([evaluation(7), bad])
        assert pool.map(counts) == serial.map(counts)  # an error costs one call, not the pool
        (worker,) = pool.executor._processes.values()
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(BenchmarkError, match="a worker process ended unexpectedly; the same command resumes"):
            pool.map(counts)
    finally:
        pool.close()
    assert wait([worker.sentinel], timeout=10), "the killed worker is still there"


@pytest.mark.parametrize("error", [
    BenchmarkError("what", where="here", hint="do", user=False), Diverged("nan", where="round 3, client 5"),
])  # fmt: skip
def test_errors_cross_processes_as_they_are(error: BenchmarkError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == str(error) and copy.user is error.user is False


def left_alone(when: str, what: signal.Signals) -> tuple[int, str]:
    """Start two workers in a process of its own and send it a signal; exit code and its stderr.

    `communicate` waits for every process that holds the pipe, hence also for every worker.
    """
    script = textwrap.dedent(f"""
        import sys
        sys.path += [{str(ROOT / "tests")!r}, {str(Path(__file__).parent)!r}]
        from helpers.full_run import worker_config
        from test_backends import evaluation
        from algorithms.fedavg import FedAvg
        from benchmark.core.backends import ProcessPoolBackend
        jobs = [evaluation(30)] * 2  # imports numpy.random, which swallows a KeyboardInterrupt on its way in
        pool = ProcessPoolBackend(worker_config(FedAvg, {{}}), 2, lambda client: 1)
        try:
            if {when!r} == "starting":
                print("ready", flush=True)
            pool.map(jobs)
            if {when!r} == "working":
                print("ready", flush=True)
            while True:
                pool.map(jobs)
        finally:
            pool.close()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        group = os.getpgid(process.pid)
        if what is signal.SIGINT:
            os.killpg(group, what)  # a terminal sends it to the whole group
        else:
            process.send_signal(what)
        try:
            _, errors = process.communicate(timeout=120)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)  # whatever is left where the test fails
    return process.returncode, errors


def test_ctrl_c_ends_everything_with_one_traceback() -> None:
    """While the workers still import, where Python would show a traceback of each."""
    code, errors = left_alone("starting", signal.SIGINT)
    assert code == -signal.SIGINT
    assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")


def test_workers_do_not_outlive_a_killed_parent() -> None:
    code, _ = left_alone("working", signal.SIGKILL)
    assert code == -signal.SIGKILL


def test_a_setting_travels() -> None:
    one: Any = pickle.loads(pickle.dumps(worker_config(partial(FedAvg), {"sizes": (4, 4), "cohort": 1})))
    assert one.federation(one.algorithm()).clients == 2 and OPTIONS["rounds"] == 3

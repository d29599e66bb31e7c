"""Runs: the same bits however they came about, and nothing goes on from what is damaged or another's."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from algorithms.fedavg import FedAvg
from algorithms.fedmd import FedMD
from algorithms.fedntd import FedNTD
from algorithms.local import LocalOnly
from benchmark.core.api import Algorithm
from benchmark.core.backends import Job, ProcessPoolBackend, Results, SerialBackend, client_jobs
from benchmark.core.errors import BenchmarkError
from benchmark.core.server import rounds as engine
from helpers.full_run import OPTIONS, FinalState, final_state, open_federation, start, worker_config
from helpers.small_federation import run, small_federation

ROOT = Path(__file__).parents[3]


class Stop(Exception):
    """An interruption."""


def stopping(after: int) -> Any:
    """An observer that interrupts the run when this round is over."""

    def observe(event: dict[str, Any]) -> None:
        if event["round"] == after:
            raise Stop

    return observe


@pytest.fixture(autouse=True)
def _checkpoint_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", -1.0)


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolBackend]:
    federation = small_federation()
    backend = ProcessPoolBackend(worker_config(), 2, lambda client: federation.who(client % 4).size)
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> FinalState:
    return final_state(start(SerialBackend(worker_config()), tmp_path_factory.mktemp("undisturbed")))


def test_two_workers_leave_the_same_bits(pool: ProcessPoolBackend, undisturbed: FinalState, tmp_path: Path) -> None:
    assert final_state(start(pool, tmp_path)) == undisturbed


def test_the_reverse_order_leaves_the_same_bits(undisturbed: FinalState, tmp_path: Path) -> None:
    assert final_state(start(SerialBackend(worker_config(), reverse=True), tmp_path)) == undisturbed


class LateBackend(SerialBackend):
    """Evaluates only when the scores are asked for, which is rounds after the evaluation was submitted."""

    def submit(self, jobs: Sequence[Job]) -> Results:
        submit = super().submit
        return submit(jobs) if client_jobs(jobs) else lambda: submit(jobs)()


def test_when_models_are_evaluated_does_not_matter(
    undisturbed: FinalState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", 60.0)
    rounds: list[tuple[int, bool]] = []
    late = start(
        LateBackend(worker_config()), tmp_path, lambda event: rounds.append((event["round"], "accuracy" in event))
    )
    assert final_state(late) == undisturbed
    assert rounds == [(1, False), (2, True), (3, False), (4, True)]


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_run_goes_on_to_the_same_bits(after: int, undisturbed: FinalState, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        start(SerialBackend(worker_config()), tmp_path, stopping(after)).execute()
    numbers: list[int] = []
    resumed = start(SerialBackend(worker_config()), tmp_path, lambda event: numbers.append(event["round"]))
    assert final_state(resumed) == undisturbed
    # the observer stopped round `after` before it was saved; round 2 was saved while its evaluation was pending
    assert numbers == list(range(2 if after == 3 else after, 5))


def test_workers_may_take_over_and_hand_back(pool: ProcessPoolBackend, undisturbed: FinalState, tmp_path: Path) -> None:
    for backend, after in ((SerialBackend(worker_config()), 2), (pool, 3)):
        with pytest.raises(Stop):
            start(backend, tmp_path, stopping(after)).execute()
    assert final_state(start(SerialBackend(worker_config(), reverse=True), tmp_path)) == undisturbed


def test_a_killed_process_leaves_what_another_needs(undisturbed: FinalState, tmp_path: Path) -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT / "tests")!r})
from pathlib import Path
from benchmark.core.server import rounds
rounds.CHECKPOINT_SECONDS = -1.0
from benchmark.core.backends import SerialBackend
from helpers.full_run import start, worker_config
def observe(event):
    print(event["round"], flush=True)
    if event["round"] == 3:
        time.sleep(600)
start(SerialBackend(worker_config()), Path({str(tmp_path)!r}), observe).execute()
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while process.stdout.readline().strip() != "3":
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert final_state(start(SerialBackend(worker_config()), tmp_path)) == undisturbed


def test_a_checkpoint_of_another_cell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        start(SerialBackend(worker_config()), tmp_path, stopping(3)).execute()
    other = start(SerialBackend(worker_config()), tmp_path)
    other.identity = "other"
    with pytest.raises(BenchmarkError, match="belongs to another cell"):
        other.execute()


@pytest.mark.parametrize("file", ["checkpoint.safetensors", "client-*.safetensors"])
def test_damage_is_named_and_nothing_goes_on(file: str, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        start(SerialBackend(worker_config()), tmp_path, stopping(3)).execute()
    for path in tmp_path.glob(file):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(BenchmarkError, match="is damaged") as caught:
        start(SerialBackend(worker_config()), tmp_path).execute()
    assert str(tmp_path) in caught.value.where and f"delete the folder {tmp_path}" in caught.value.hint


def test_a_memory_is_that_of_the_client_s_last_round(undisturbed: FinalState) -> None:
    # Four clients meet in round 1; rounds 2 to 4 sample two.
    federation = open_federation(OPTIONS, FedAvg())
    last = {client: [1, *(r + 2 for r in range(3) if client in federation.cohort(r))][-1] for client in range(4)}
    assert set(undisturbed.memories) == {f"client-{client}-{number}.safetensors" for client, number in last.items()}
    assert federation.model("fedmd_0").random  # what is compared here includes dropout on both sides


@pytest.mark.parametrize("method", [FedAvg(), FedNTD(), LocalOnly(), FedMD(draw=6, public_epochs=1, private_epochs=1)])
def test_runs_repeat_and_differ_by_seed(method: Algorithm) -> None:
    first, again, other = (run(method, small_federation(public=8, seed=seed)) for seed in (0, 0, 1))
    assert first.result == again.result
    assert first.result != other.result or first.memories.keys() != other.memories.keys()

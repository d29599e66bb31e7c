"""Cells: run once, recorded whole, owned by one process, refused when they are not what they were."""

from __future__ import annotations

import fcntl
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.core.server import rounds as engine
from benchmark.core.storage import checkpoint
from benchmark.core.storage.checksummed_json import canonical_json
from benchmark.core.tasks import task as tasks
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import run
from benchmark.records import store

TASK = """
track: global
tier: quick
dataset: digits
split: {kind: shards, shards: 2}
clients: 10
cohort: 2
rounds: 4
networks: [mlp]
train: {batch: 20, optimiser: {lr: 0.05, momentum: 0.9}}
evaluate_every: 2
methods: {fedntd: {beta: 2.0}}
"""
METHOD = """
from dataclasses import dataclass
from benchmark.core.api import Algorithm, hyper

@dataclass(frozen=True)
class Mine(Algorithm):
    mu: float = hyper(0.5, low=0)
    pair: tuple[float, float] = (0.9, 0.99)
"""


@pytest.fixture
def task(tmp_path: Path) -> str:
    (tmp_path / "tiny.yaml").write_text(TASK)
    return str(tmp_path / "tiny.yaml")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def files(folder: Path) -> list[str]:
    """Relative paths of all files."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def forbidden(event: dict[str, Any]) -> None:
    """An observer of a cell that must not run."""
    raise AssertionError(event)


def stopping(after: int) -> Any:
    """An observer that is Ctrl-C after a round."""

    def observe(event: dict[str, Any]) -> None:
        if event["round"] == after:
            raise KeyboardInterrupt

    return observe


def test_a_cell_leaves_a_record_and_how_it_was_obtained(task: str, results: Path) -> None:
    made = run(Cell(task, "fedntd", 3), results)
    assert files(results) == ["tiny/fedntd/3.json", "tiny/fedntd/3.run.json"]
    target = results / "tiny/fedntd/3.json"
    assert target.read_text() == canonical_json(made) and store.read(target) == made
    assert (made.task, made.algorithm, made.seed, made.rounds, made.status) == ("tiny", "fedntd", 3, 4, "ok")
    assert made.settings == {"beta": 2.0, "tau": 1.0} and made.departures == []  # the task sets beta
    assert made.hashes.task == tasks.load(task).sha256 and set(made.hashes.data) == {"digits"}
    assert made.result is not None and [entry.round for entry in made.result.evaluations] == [2, 4]


def test_finished_work_is_not_done_twice(task: str, results: Path) -> None:
    first = run(Cell(task, "fedavg"), results)
    stamps = {name: (results / name).stat().st_mtime_ns for name in files(results)}
    assert run(Cell(task, "fedavg"), results, observer=forbidden) == first
    assert {name: (results / name).stat().st_mtime_ns for name in files(results)} == stamps


def test_two_workers_leave_the_same_bytes(task: str, results: Path) -> None:
    run(Cell(task, "fedntd"), results / "one")
    run(Cell(task, "fedntd"), results / "two", workers=2)
    one, two = (results / count / "tiny/fedntd/0.json" for count in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_an_interrupted_cell_goes_on_to_the_same_bytes(
    task: str, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Cell(task, "fedntd"), results / "whole")
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        run(Cell(task, "fedntd"), results / "cut", observer=stopping(3))
    assert files(results / "cut") == ["tiny/fedntd/.0.run/checkpoint.safetensors", "tiny/fedntd/.0.run/lock"]
    rounds: list[int] = []
    run(Cell(task, "fedntd"), results / "cut", observer=lambda event: rounds.append(event["round"]))
    # round 2 was saved while it was being judged
    assert rounds == [2, 3, 4] and files(results / "cut") == ["tiny/fedntd/0.json", "tiny/fedntd/0.run.json"]
    whole, cut = (results / folder / "tiny/fedntd/0.json" for folder in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_seconds_before_an_interruption_count(task: str, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the rounds before it had taken 1,000 seconds."""
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        run(Cell(task, "fedntd"), results, observer=stopping(3))
    path = results / "tiny/fedntd/.0.run/checkpoint.safetensors"
    tree, facts = checkpoint.load(path)
    assert 0 < facts["seconds"] < 1000
    checkpoint.save(path, tree, facts | {"seconds": 1000.0})
    run(Cell(task, "fedntd"), results)
    assert 1000 <= json.loads((results / "tiny/fedntd/0.run.json").read_bytes())["seconds"] < 2000


def test_what_was_interrupted_before_its_first_checkpoint_leaves_nothing(task: str, results: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Cell(task, "fedavg"), results, observer=stopping(2))
    assert files(results) == []


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"settings": {"beta": 3.0}}, "its hyper-parameters"),
        ({"rounds": 3}, "departs"),
        ({"precision": "bf16"}, "departs"),
    ],
)
def test_another_cell_in_the_same_place_is_refused(other: dict[str, Any], what: str, task: str, results: Path) -> None:
    run(Cell(task, "fedntd"), results)
    with pytest.raises(BenchmarkError, match=f"record of another version of this cell .*{what}"):
        run(Cell(task, "fedntd", **other), results, observer=forbidden)


def test_an_interrupted_cell_is_not_continued_as_another(
    task: str, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        run(Cell(task, "fedntd"), results, observer=stopping(3))
    with pytest.raises(BenchmarkError, match="the checkpoint belongs to another cell"):
        run(Cell(task, "fedntd", settings={"beta": 3.0}), results)


def test_a_changed_task_or_method_is_refused_and_changed_prose_is_not(tmp_path: Path, task: str, results: Path) -> None:
    method = tmp_path / "mine.py"
    method.write_text(METHOD)
    first = run(Cell(task, str(method)), results)
    assert first.settings == {"mu": 0.5, "pair": [0.9, 0.99]}
    method.write_text(METHOD + "# prose\n")
    Path(task).write_text(TASK + "note: prose\n")
    assert run(Cell(task, str(method)), results, observer=forbidden) == first
    Path(task).write_text(TASK.replace("0.05", "0.06"))
    with pytest.raises(BenchmarkError, match="its task has changed"):
        run(Cell(task, str(method)), results, observer=forbidden)
    Path(task).write_text(TASK)
    method.write_text(METHOD + "x = 1\n")
    with pytest.raises(BenchmarkError, match="its method has changed"):
        run(Cell(task, str(method)), results, observer=forbidden)


def test_a_record_of_another_engine_or_protocol_is_refused(
    task: str, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(Cell(task, "fedavg"), results).protocol == 1
    Path(task).write_text(TASK + "protocol: 2\n")
    with pytest.raises(BenchmarkError, match=r"protocol 1, now 2; its task has changed"):
        run(Cell(task, "fedavg"), results, observer=forbidden)
    Path(task).write_text(TASK)
    monkeypatch.setattr("benchmark.records.index.ENGINE", 99)
    with pytest.raises(BenchmarkError, match=r"engine .*, now 99"):
        run(Cell(task, "fedavg"), results, observer=forbidden)


def test_departures_are_told_in_words(task: str, results: Path) -> None:
    made = run(Cell(task, "fedntd", settings={"tau": "2"}, rounds=2), results)
    assert made.departures == ["tau set to 2", "rounds 2 instead of 4"] and made.rounds == 2
    assert made.settings == {"beta": 2.0, "tau": 2.0} and made.hashes.task == tasks.load(task).sha256
    assert run(Cell(task, "fedntd", settings={"tau": "2"}, rounds=2), results, observer=forbidden) == made


def test_a_diverged_cell_is_a_record_too(tmp_path: Path, task: str, results: Path) -> None:
    Path(task).write_text(TASK.replace("lr: 0.05", "lr: 1.0e+30"))
    made = run(Cell(task, "fedavg"), results)
    assert made.status == "diverged" and made.result is None
    assert made.reason.startswith("phase train, round 1, client ")
    assert run(Cell(task, "fedavg"), results, observer=forbidden) == made
    assert files(results) == ["tiny/fedavg/0.json", "tiny/fedavg/0.run.json"]


def test_a_locked_cell_is_left_to_its_owner(task: str, results: Path) -> None:
    folder = results / "tiny/fedavg/.0.run"
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        lock.write("process 4711 on elsewhere")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BenchmarkError, match="process 4711 on elsewhere runs this cell; wait for it"):
            run(Cell(task, "fedavg"), results, observer=forbidden)
        assert files(results) == ["tiny/fedavg/.0.run/lock"]
        run(Cell(task, "fedavg", seed=1), results)  # another cell of the same method is free
    owners: list[str] = []
    run(Cell(task, "fedavg"), results, observer=lambda event: owners.append((folder / "lock").read_text()))
    assert len(owners) == 4 and owners[0].startswith(f"process {os.getpid()} on ")  # the lock went with its owner


def test_a_damaged_record_is_neither_believed_nor_replaced(task: str, results: Path) -> None:
    run(Cell(task, "fedavg"), results)
    target = results / "tiny/fedavg/0.json"
    target.write_text(target.read_text().replace('"accuracy": 0.', '"accuracy": 0.0', 1))
    damaged = target.read_bytes()
    with pytest.raises(BenchmarkError, match=r"0\.json: not a record: .*; restore the file from git, or delete it"):
        run(Cell(task, "fedavg"), results, observer=forbidden)
    assert target.read_bytes() == damaged


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Writes beyond so many bytes fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_for_the_record_leaves_no_part_of_it(task: str, results: Path) -> None:
    run(Cell(task, "fedavg", seed=1), results)  # fills the cache of the dataset
    before = files(results)
    with no_file_beyond(1000), pytest.raises(BenchmarkError, match=r"0\.json: cannot be written \(File too large\)"):
        run(Cell(task, "fedavg"), results)
    assert [name for name in files(results) if name not in before] == []
    assert run(Cell(task, "fedavg"), results).status == "ok"


def test_a_disk_without_room_for_a_checkpoint_ends_the_run_in_one_sentence(
    task: str, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Cell(task, "fedavg", seed=1), results)
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", -1.0)
    with no_file_beyond(1000), pytest.raises(BenchmarkError, match="free some space") as caught:
        run(Cell(task, "fedavg"), results)
    assert not caught.value.user and not [name for name in files(results) if ".0" in name]


def test_a_folder_that_is_a_file_is_one_sentence(task: str, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(BenchmarkError, match="cannot be written"):
        run(Cell(task, "fedavg"), tmp_path / "results")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": -1}, "seed -1 is negative"), ({"rounds": 0}, "--rounds 0; choose at least 1"),
        ({"precision": "fp16"}, "--precision fp16; choose fp32, bf16, tf32"),
        ({"precision": "tf32"}, "tf32 needs a CUDA device; add --backend stacked --device cuda"),
        ({"algorithm": "fedavgg"}, "did you mean fedavg?"),
        ({"algorithm": "fedmd"}, "fedmd does not apply to tiny: the task has no labelled public data; tasks that fit"),
        ({"settings": {"gamma": 1}}, "method fedavg has no field gamma; it has no fields"),
    ],
)  # fmt: skip
def test_a_mistake_costs_no_time_and_leaves_no_file(
    change: dict[str, Any], words: str, task: str, results: Path
) -> None:
    with pytest.raises(BenchmarkError) as caught:
        run(Cell(**{"task": task, "algorithm": "fedavg", **change}), results)
    assert words in str(caught.value) and caught.value.user and not results.exists()


def test_data_that_cannot_be_had_leave_no_file(task: str, results: Path) -> None:
    Path(task).write_text(TASK.replace("digits", "cifar10"))
    with pytest.raises(BenchmarkError, match="cifar10 is in no source"):
        run(Cell(task, "fedavg"), results)
    Path(task).write_text(TASK.replace("clients: 10", "clients: 7"))
    with pytest.raises(BenchmarkError, match="14 is no multiple of 10 classes"):
        run(Cell(task, "fedavg"), results)
    assert not results.exists()

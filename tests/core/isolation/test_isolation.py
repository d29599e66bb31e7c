"""Audit runs: the bits of the plain run for honest methods, each side's own data alone, and a record's mark."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.cli import invoke
from benchmark.core import method_files
from benchmark.core.api import Phase
from benchmark.core.backends import Backend, SerialBackend, WorkerConfig
from benchmark.core.client.federation import Federation
from benchmark.core.errors import BenchmarkError
from benchmark.core.isolation.backend import IsolatedBackend
from benchmark.core.isolation.child import ScopedKey
from benchmark.core.isolation.handlers import MethodHandler, ServerHandler
from benchmark.core.isolation.limits import Limits
from benchmark.core.isolation.process import SandboxedProcess, key_number
from benchmark.core.isolation.remote_algorithm import RemoteAlgorithm
from benchmark.core.keys import Key
from benchmark.core.server.rounds import Run
from benchmark.records import store
from benchmark.records.audit_mark import audited, mark
from benchmark.records.index import ResultsIndex
from benchmark.reports import pages
from benchmark.submission.scenarios import RecordingBackend, difference, outcome
from benchmark.submission.toy_task import NETWORKS, toy_federation, toy_method
from helpers import handmade_records as records

pytestmark = pytest.mark.slow

ADVERSARIES = Path(__file__).parents[2] / "adversaries"
TASK = """
track: global
tier: quick
dataset: digits
split: {kind: shards, shards: 2}
clients: 10
cohort: 2
rounds: 1
networks: [mlp]
train: {batch: 20, optimiser: {lr: 0.05}}
"""


def apart(name: str) -> RemoteAlgorithm:
    """A method whose code runs elsewhere."""
    return RemoteAlgorithm(partial(toy_method, name), NETWORKS, readable=(method_files.find(name),))


def counted(budget: dict[str, dict[str, Any]]) -> dict[str, object]:
    """A budget as tensors, by phase and count."""
    return {
        f"{phase} {name}": torch.tensor(list(count.values()) if isinstance(count, dict) else count)
        for phase, counts in budget.items()
        for name, count in counts.items()
    }


def left(federation: Federation, method: object, backend: Backend, folder: Path) -> dict[str, object]:
    """Messages, memories, bytes and accuracies of a toy run."""
    noted = RecordingBackend(backend)
    federation.task = federation.task.model_copy(update={"protocol": 2})  # which measures more
    run = Run(federation, method, noted, folder, "toy")  # type: ignore[arg-type]
    try:
        return outcome(run, noted) | {"budget": counted(run.measurements.budget.phases)}
    finally:
        backend.close()


# weights; memories on both sides; logits; several phases and public data; a server that trains; personal; no labels
@pytest.mark.parametrize(
    ("name", "track"),
    [("fedavg", "global"), ("scaffold", "global"), ("fd", "global"), ("fedmd", "heterogeneous"), ("feddf", "global"),
     ("finetune", "personal"), ("fedbyol", "unsupervised")],
)  # fmt: skip
def test_an_honest_method_s_audit_has_the_bits_and_bytes_of_its_plain_run(
    name: str, track: str, tmp_path: Path
) -> None:
    method = toy_method(name)
    federation = toy_federation(method, track)
    plain = left(
        federation, method, SerialBackend(WorkerConfig(lambda _: federation, lambda: method)), tmp_path / "plain"
    )
    stranger = apart(name)
    federation = toy_federation(stranger, track)
    elsewhere = left(federation, stranger, IsolatedBackend(stranger, federation, workers=2), tmp_path / "apart")
    assert len(plain) > 3 and difference(plain, elsewhere) == ""


def test_a_client_s_process_gets_no_row_of_anybody_else() -> None:
    stranger = apart("fedavg")
    federation = toy_federation(stranger, "global")
    given, phase = federation.data, Phase("train", 2)
    sent = pickle.dumps(stranger.client_payload(federation.site(1, phase, 0)))
    foreign = [given.private.images[part[0]] for number, part in enumerate(given.parts) if number != 1]
    for image in (*foreign, given.test.images[0]):
        assert image.tobytes() not in sent
    assert given.private.images[given.parts[1][0]].tobytes() in sent
    assert b"Federation" not in sent


def test_the_server_s_process_gets_neither_private_nor_test_data() -> None:
    federation = toy_federation(apart("fedmd"), "global")  # which needs the public images
    sent = pickle.dumps(replace(federation.hub, models={}))
    assert federation.data.private.images[0].tobytes() not in sent
    assert federation.data.test.images[0].tobytes() not in sent
    assert federation.data.public is not None and federation.data.public.images[0].tobytes() in sent


def test_labels_that_a_track_hides_do_not_reach_a_client_s_process() -> None:
    federation = toy_federation(apart("fedbyol"), "unsupervised")
    site = federation.site(0, Phase("train", 2), 0)
    assert np.all(site.data.labels.numpy() == -1)


def test_a_scoped_key_gives_the_numbers_of_the_key_and_of_nothing_else() -> None:
    key = Key(7)("round", 3)
    scoped = ScopedKey(key.names, lambda names: int(key_number(key, "", json.dumps(list(names)).encode())))
    assert scoped("noise", 1).seed == key("noise", 1).seed
    assert np.array_equal(scoped.permutation(9), key.permutation(9))
    with pytest.raises(BenchmarkError, match="reads the root of a key"):
        _ = scoped.root
    for names in (["round", 4], ["client", 1, "init"], [], "round", [["round", 3]]):
        with pytest.raises(BenchmarkError, match="key"):
            key_number(key, "init_client", json.dumps(names).encode())
    assert "7" not in repr(scoped)


def test_a_process_that_does_not_answer_is_ended() -> None:
    endless = ADVERSARIES / "endless_loop.py"
    hub = replace(toy_federation(apart("fedavg"), "global").hub, models={})
    with SandboxedProcess(partial(ServerHandler, partial(toy_method, str(endless))), Limits(), (endless,)) as process:
        process.call("open", hub, {}, None)
        process.limits = Limits(seconds=0.5)
        with pytest.raises(BenchmarkError, match=r"^aggregate: does not end within 0.5 s; bound its loops by a field$"):
            process.call("aggregate", [], Phase("train", 1), (), key=Key(0))


def test_an_answer_has_a_largest_size() -> None:
    handler = partial(MethodHandler, partial(toy_method, "fedavg"))
    with (
        SandboxedProcess(handler, Limits(response=100)) as process,
        pytest.raises(BenchmarkError, match="answers with more than 0 MB"),
    ):
        process.call("describe", NETWORKS)


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A task of one round."""
    (tmp_path / "short.yaml").write_text(TASK)
    return tmp_path


def words(method: object, bench: Path, *more: str) -> list[str]:
    """A command that runs a cell."""
    return ["run", str(method), "--task", str(bench / "short.yaml"), "--out", str(bench), "--workers", "1", *more]


def test_an_audit_leaves_the_plain_record_and_marks_it(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bench / "short" / "fedavg" / "0.json"
    assert invoke(words("fedavg", bench)) == 0
    plain = path.read_bytes()
    assert invoke(words("fedavg", bench, "--audit")) == 0
    assert path.read_bytes() == plain and capsys.readouterr().out.rstrip().endswith("audited")
    facts = json.loads(path.with_suffix(".run.json").read_text())["audit"]
    assert facts["result_sha256"] == store.read(path).result_sha256 and facts["not_enforced"] == []
    assert audited(path, store.read(path))
    shutil.rmtree(path.parent)
    assert invoke(words("fedavg", bench, "--audit")) == 0  # the same record, made by the audit itself
    assert path.read_bytes() == plain and audited(path, store.read(path))


def test_an_audit_of_a_cheat_names_the_difference_and_marks_nothing(
    bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cheat = ADVERSARIES / "class_attribute.py"
    path = bench / "short" / "class_attribute" / "0.json"
    assert invoke(words(cheat, bench)) == 0
    assert invoke(words(cheat, bench, "--audit")) == 1
    told = capsys.readouterr().err
    assert "class_attribute, short, seed 0: the audited run differs from the record: accuracy was" in told
    assert not audited(path, store.read(path))


def test_an_audit_marks_no_record_of_another_version(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    method = bench / "mine.py"
    method.write_text(method_files.find("fedavg").read_text())
    path = bench / "short" / "mine" / "0.json"
    assert invoke(words(method, bench)) == 0
    method.write_text(method.read_text() + "x = 1\n")
    assert invoke(words(method, bench, "--audit")) == 2
    assert "another version of this cell (its method has changed)" in capsys.readouterr().err
    assert not audited(path, store.read(path))


@pytest.mark.parametrize("option", [[], ["--audit"]])
def test_run_and_audit_refuse_what_check_refuses(
    option: list[str], bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(words(ADVERSARIES / "traceback_frames.py", bench, *option)) == 2
    error = capsys.readouterr().err
    assert "traceback_frames: uses __traceback__ (line 31) (and 3 more: `fedrepro check traceback_frames`" in error
    assert not (bench / "short").exists()


def test_an_audit_is_of_the_loop(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(words("fedavg", bench, "--audit", "--backend", "stacked")) == 2
    assert "an audit runs every client in a process of its own" in capsys.readouterr().err


def test_the_board_marks_audited_seeds_and_is_the_same_file_without_any(tmp_path: Path) -> None:
    results, diverged = records.example_results(tmp_path), records.make("fedprox", 1, accuracy=None)
    records.write(results, diverged)
    task = ResultsIndex.load(results).tasks[records.TASK]

    def board() -> tuple[str, str]:
        suite = ResultsIndex.load(results)
        made = pages.files(suite)
        return made[results / "tables" / f"{task.name}.csv"], made[tmp_path / "docs" / "boards" / f"{task.name}.md"]

    before = board()
    assert "audited" not in before[0] and "audited" not in before[1].lower()
    for method, seeds in (("fedavg", (0, 1, 2)), ("fedntd", (1,))):
        for seed in seeds:
            path = results / task.name / method / f"{seed}.json"
            mark(path, {"result_sha256": store.read(path).result_sha256})
    stale = results / task.name / "fedprox" / "0.json"
    mark(stale, {"result_sha256": "0" * 64})
    mark(results / diverged.path, {"result_sha256": diverged.result_sha256})  # is none of the seeds of its row
    table, page = board()
    rows = {row["method"]: row["audited"] for row in csv.DictReader(table.splitlines())}
    assert rows == {"fedntd": "1", "fedavg": "3", "fedprox": "0"}
    assert "| 3, audited |" in page and "| 3, 1 audited |" in page and "Audited seeds were repeated" in page
    assert json.loads(stale.with_suffix(".run.json").read_text())["command"] == "fedrepro run"

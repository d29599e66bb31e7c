"""Flower moves the messages and changes no bit: its simulation engine, its deployment engine, a node that is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deployment import Deployment

from benchmark.cli import invoke
from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import run
from benchmark.integrations.flower import codec
from benchmark.records import store

TASK = "digits-shards"
METHODS = ("fd", "fedntd")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A SuperLink and two SuperNodes."""
    started = Deployment(tmp_path_factory.mktemp("deployment"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of two rounds in one process."""
    results = tmp_path_factory.mktemp("serial")
    for method in METHODS:
        run(Cell(TASK, method, rounds=2), results)
    return results


def facts(results: Path, method: str) -> dict[str, Any]:
    """How a record was obtained."""
    return json.loads((results / TASK / method / "0.run.json").read_text())


def same(results: Path, other: Path, method: str) -> bool:
    """Whether two records are the same bytes."""
    return len({(folder / TASK / method / "0.json").read_bytes() for folder in (results, other)}) == 1


def check_bytes(results: Path, method: str) -> None:
    """Each of 2 rounds x 3 clients moves a message each way; around the counted wire there is little of Flower's own.

    Around a visit lie its plain values, around a message of a node the cell: less than 2 kB each in at most 3 messages
    per round and way, and in two hellos.
    """
    moved, wire = (facts(results, method)[name] for name in ("moved", "wire"))
    counted = store.read(results / TASK / method / "0.json").result
    assert counted is not None
    assert wire == {"down": counted.bytes.down_wire, "up": counted.bytes.up_wire}
    for way in ("down", "up"):
        assert wire[way] < moved[way] < wire[way] + 2000 * (2 * 3 + 2)


@pytest.mark.parametrize("method", METHODS)
def test_the_simulation_engine_gives_the_bits_of_one_process(
    method: str, serial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["flower", method, "--task", TASK, "--rounds", "2", "--out", str(tmp_path)]) == 0
    assert same(serial, tmp_path, method)
    check_bytes(tmp_path, method)
    assert "moved by Flower" in capsys.readouterr().out


@pytest.mark.parametrize("method", METHODS)
def test_the_deployment_engine_gives_the_bits_of_one_process(
    method: str, serial: Path, deployment: Deployment, tmp_path: Path
) -> None:
    flow = deployment.run(task=TASK, method=method, rounds=2, out=tmp_path)
    output = deployment.output(flow)
    assert same(serial, tmp_path, method), output
    check_bytes(tmp_path, method)
    # of FD's clients, whose models are judged, copies of the memories come along; at the end the nodes forget theirs
    assert (facts(tmp_path, method)["moved"]["copies"] > 0) == (method == "fd")
    assert not [*deployment.folder.glob("node-?/*")]


def test_a_lost_node_is_one_sentence_and_the_run_resumes_when_it_is_back(
    deployment: Deployment, tmp_path: Path
) -> None:
    config: dict[str, object] = {"task": TASK, "method": "fd", "rounds": 6, "out": tmp_path}
    run_ = deployment.run(**config)
    checkpoint = tmp_path / TASK / "fd" / ".0.run" / "checkpoint.safetensors"
    while not checkpoint.exists():  # each round takes seconds, and after 20 of them there is one
        assert run_.poll() is None
        time.sleep(0.2)
    deployment.kill("node-1")
    output = deployment.output(run_)
    last = next(line for line in reversed(output.splitlines()) if "BenchmarkError" in line)
    assert "node 1 of 2 is lost; start it again as before, then repeat the command: it resumes" in last
    deployment.start_node(1)
    output = deployment.output(deployment.run(**config))
    assert '"round": 1,' not in output, "it did not resume"
    expected = run(Cell(TASK, "fd", rounds=6), tmp_path / "serial")
    assert store.read(tmp_path / TASK / "fd" / "0.json").result_sha256 == expected.result_sha256, output


def test_a_divergence_on_a_node_is_the_record_s(tmp_path: Path) -> None:
    words = ["fedavg", "--task", TASK, "--rounds", "2", "--set", "train.lr=1e30"]
    assert invoke(["flower", *words, "--out", str(tmp_path / "flower")]) == 1
    assert invoke(["run", *words, "--workers", "1", "--out", str(tmp_path / "serial")]) == 1
    assert same(tmp_path / "serial", tmp_path / "flower", "fedavg")


def test_failures_travel_as_words() -> None:
    for error in (BenchmarkError("what", where="where", hint="hint", user=False), Diverged("nan", where="there")):
        again = codec.error(codec.failure(error))
        assert (type(again), str(again), again.user) == (type(error), str(error), error.user)

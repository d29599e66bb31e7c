"""fedrepro from Python: runs, tables, and parts of one's own, also in worker processes and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import fedrepro as fr
from benchmark.cli import invoke
from benchmark.core import registry
from benchmark.core.errors import BenchmarkError
from benchmark.paths import CHECKOUT, RESULTS, ROOT
from helpers.handmade_records import TASK, example_results

pytestmark = pytest.mark.slow

PARTS = '''
"""Stripes whose direction is the class, cut in turns, for a linear model."""
import numpy as np
from torch import nn
import fedrepro as fr
from benchmark.core.model_output import Output

@fr.dataset("stripes")
def stripes():
    def draw(count, seed):
        labels = np.arange(count) % 2
        images = np.random.default_rng(seed).integers(0, 90, (count, 6, 6, 1))
        for image, label in zip(images, labels):
            image[(slice(None), slice(None, None, 2)) if label else slice(None, None, 2)] += 160
        return images.astype(np.uint8), labels
    return {"train": draw(80, 0), "test": draw(40, 1)}

@fr.partition("turns")
def turns(labels, clients, key, skip=0):
    return [np.arange(client, len(labels) - skip, clients) for client in range(clients)]

@fr.network("line")
class Line(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.classifier = nn.Linear(shape[0] * shape[1] * shape[2], classes)
    def forward(self, x):
        features = x.flatten(1)
        return Output(self.classifier(features), features)

@fr.metric("worst_class")
def worst_class(result):
    return min(result.evaluations[-1].per_class) * 100
'''
SETTING = """
track: global
tier: quick
dataset: stripes
split: {kind: registered, name: turns, options: {skip: 8}}
clients: 4
cohort: 2
rounds: 4
networks: [line]
train: {batch: 6, optimiser: {lr: 0.1}}
seeds: [0, 1, 2]
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task file over parts of one's own, which the environment names."""
    (tmp_path / "parts.py").write_text(PARTS)
    monkeypatch.setenv(registry.FILES, str(tmp_path / "parts.py"))
    task = tmp_path / "own.yaml"
    task.write_text(SETTING)
    return task


def test_importing_is_light() -> None:
    script = "import sys, fedrepro; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_a_run_gives_its_record_and_a_finished_one_is_read(tmp_path: Path) -> None:
    made = fr.run("fedntd", task=TASK, seed=0, out=tmp_path, rounds=2, beta=0.5)
    assert made.departures == ["beta set to 0.5", "rounds 2 instead of 30"] and made.result is not None
    assert fr.run("fedntd", task=TASK, out=tmp_path, rounds=2, beta=0.5) == made
    assert [path.name for path in (tmp_path / TASK / "fedntd").glob("0*")] == ["0.json", "0.run.json"]


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"departs from the protocol \(beta set to 2\); .* out="):
        fr.run("fedntd", task=TASK, beta=2)
    with pytest.raises(BenchmarkError, match="unknown task digit-shards; did you mean digits-shards"):
        fr.board("digit-shards")


def test_a_board_is_a_table_of_records(tmp_path: Path) -> None:
    frame = fr.board(TASK, example_results(tmp_path))
    assert list(frame["method"]) == ["fedntd", "fedavg", "fedprox"] and list(frame["accuracy"]) == [62.0, 52.0, 55.0]


def test_a_checkout_has_its_records_beside_the_package() -> None:  # an installed wheel: test_wheel.py
    assert CHECKOUT and Path(__file__).parents[2] / "results" == RESULTS


def test_parts_of_one_s_own_make_a_task_that_learns(own: Path, tmp_path: Path) -> None:
    records = [fr.run("fedavg", task=str(own), seed=seed, out=tmp_path / "out") for seed in range(3)]
    assert all(made.result is not None and made.result.accuracy > 0.9 for made in records)  # stripes are separable
    words = records[0].departures
    own_parts = [word.split(" is of one's own (")[0] for word in words]
    assert own_parts == ["dataset stripes", "network line", "partition turns"]
    result = records[0].result
    # Two clients of 18 of the 72 rows, so a linear model of 36 * 2 + 2 numbers moves in 4 rounds, both ways: 4 bytes.
    assert result is not None and result.bytes.up == result.bytes.down == 4 * 2 * 74 * 4
    frame = fr.board(str(own), tmp_path / "out")
    worst = [min(made.result.evaluations[-1].per_class) * 100 for made in records if made.result]
    assert frame["worst_class"].iloc[0] == pytest.approx(sum(worst) / 3, abs=1e-3)


def test_worker_processes_and_the_command_line_know_the_parts(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = fr.run("fedavg", task=str(own), out=tmp_path / "here")
    words = ["run", "fedavg", "--task", str(own), "--workers", "2", "--json", "--out", str(tmp_path / "there")]
    assert invoke(words) == 0
    there = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert there["result_sha256"] == here.result_sha256 and there["departures"] == here.departures


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("labels) - skip", "labels)"), ""),
        (("np.arange(client, len(labels) - skip, clients)", "np.arange(9)"), "partition turns gives a row twice"),
        (("range(clients)]", "range(1)]"), "partition turns serves 1 clients of 4"),
        (("images.astype(np.uint8)", "images"), "train: images are int64"),
        (('@fr.partition("turns")', ""), "no partition turns is registered"),
        (("import numpy as np", "import nompy"), "cannot be run (ModuleNotFoundError: No module named 'nompy')"),
    ],
)
def test_parts_that_are_none_are_refused_in_a_sentence(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], words: str
) -> None:
    assert change[0] in PARTS
    path = tmp_path / "other.py"
    path.write_text(PARTS.replace(*change))
    monkeypatch.setenv(registry.FILES, str(path))
    monkeypatch.setattr(registry, "_EXTENSIONS", {})
    if not words:  # still a partition, of all rows
        assert fr.run("fedavg", task=str(own), out=tmp_path / "out").status == "ok"
        return
    with pytest.raises(BenchmarkError) as caught:
        fr.run("fedavg", task=str(own), out=tmp_path / "out")
    assert words in str(caught.value)


def test_a_record_is_not_done_once_what_a_part_rests_on_has_changed(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "parts.py"
    text = PARTS.replace("len(labels) - skip, clients)", "len(labels) - skip - LESS, clients)")
    assert text != PARTS

    def run(less: int) -> None:
        path.write_text(f"{text}\nLESS = {less}\n")  # a constant beside the function
        monkeypatch.setattr(registry, "_EXTENSIONS", {})
        monkeypatch.setattr(registry, "_FILES_READ", set())
        fr.run("fedavg", task=str(own), out=tmp_path / "out")

    run(less=0)
    with pytest.raises(BenchmarkError, match=r"record of another version of this cell \(.*its data have changed"):
        run(less=4)


def test_methods_of_one_s_own_have_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEDREPRO_ALGORITHMS", "")
    source = (ROOT / "algorithms" / "fedprox.py").read_text()
    (tmp_path / "mine.py").write_text(source)
    words = ["run", "mine", "--task", TASK, "--rounds", "1", "--workers", "1", "--out", str(tmp_path / "out")]
    assert invoke([*words, "--algorithms", str(tmp_path)]) == 0
    assert f"{TASK} mine seed 0: accuracy " in capsys.readouterr().out
    assert invoke(["--algorithms", str(tmp_path / "none"), "list", "methods"]) == 2
    assert "no such folder; name a folder of .py files" in capsys.readouterr().err

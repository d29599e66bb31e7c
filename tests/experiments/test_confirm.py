"""`fedrepro confirm`: an honest row comes out again and is signed; a method fitted to the public seeds is found out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmark.cli import confirm as command
from benchmark.cli import invoke
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.storage.checksummed_json import canonical_json
from benchmark.core.tasks import task as tasks
from benchmark.experiments import confirm
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import run
from benchmark.records import confirmation, store
from benchmark.records.index import ResultsIndex, index_with_live_methods

pytestmark = pytest.mark.slow

SECRET = b"a secret of the maintainer"
TASK = """
track: global
tier: quick
dataset: digits
split: {kind: iid}
clients: 4
cohort: 2
rounds: 2
networks: [mlp]
train: {batch: 20, optimiser: {lr: 0.1, momentum: 0.9}}
"""
FITTED = '''
"""FedAvg on seeds that it knows; elsewhere it keeps what it began with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmark.core.api import Algorithm, Hub, Key, Phase, Tree, Upload

KNOWN = {known}


@dataclass(frozen=True)
class Fitted(Algorithm):
    """FedAvg on seeds that it knows."""

    track = ("global",)

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        probe = float(torch.rand((), generator=key("probe").torch()))
        return super().aggregate(server, uploads, phase, hub, key) if probe in KNOWN else server
'''


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of results with a task of two rounds, its records of FedAvg, and a method that knows its seeds."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "short.yaml").write_text(TASK)
    monkeypatch.setattr(tasks, "FOLDER", tmp_path / "tasks")
    keys = [Key(seed)("phase", "train", "round", round_)("aggregate")("probe") for seed in (0, 1) for round_ in (0, 1)]
    known = [float(torch.rand((), generator=key.torch())) for key in keys]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "fitted.py").write_text(FITTED.format(known=known))
    monkeypatch.setenv("FEDREPRO_ALGORITHMS", str(tmp_path / "own"))
    for method in ("fedavg", "fitted"):
        for seed in (0, 1):
            assert run(Cell("short", method, seed), tmp_path / "results").status == "ok"
    return tmp_path


def index(bench: Path) -> ResultsIndex:
    return index_with_live_methods(bench / "results")


def test_an_honest_row_comes_out_on_sealed_seeds_too_and_a_fitted_one_does_not(bench: Path) -> None:
    sentences: list[str] = []
    made = confirm.confirm(index(bench), "short", "fedavg", secret=SECRET, sealed=2, report=sentences.append)
    assert [(entry.seed, entry.how) for entry in made.seeds] == [(0, "to the bit"), (1, "to the bit")]
    assert made.sealed is not None and made.sealed.count == 2 and made.sealed.gap > -made.sealed.allowed
    assert sentences[0] == "seed 0: the same result bit for bit" and sentences[2] == "sealed seed 1 of 2: ok"
    plain = confirm.confirm(index(bench), "short", "fitted")
    assert plain.sealed is None and len(plain.seeds) == 2  # on its own seeds it is FedAvg to the bit
    with pytest.raises(BenchmarkError, match=r"fitted, short: sealed seeds reach .*, its records .* are allowed"):
        confirm.confirm(index(bench), "short", "fitted", secret=SECRET, sealed=2)


def test_the_command_signs_what_came_out_and_writes_nothing_else(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results, key = bench / "results", bench / "key"
    monkeypatch.setattr(command, "RESULTS", results)
    assert invoke(["confirm", "--new-key", str(key)]) == 0
    public = capsys.readouterr().out.split('"')[3]
    (results / "keys.json").write_text(json.dumps({"me": public}))
    before = sorted(path for path in results.rglob("*"))
    for words, told in (
        (["short"], "no row 'short'; name TASK/METHOD"),
        (["short/fedavg"], "a confirmation is signed; add --key FILE"),
        (["short/fedprox", "--key", str(key)], "fedprox has no valid record of the loop on short"),
        (["short/fedavg", "--key", str(key), "--secret", str(key / "none")], "cannot be read"),
    ):
        assert invoke(["confirm", *words]) == 2
        assert told in capsys.readouterr().err
    assert sorted(results.rglob("*")) == before
    assert invoke(["confirm", "short/fedavg", "--key", str(key), "--workers", "1"]) == 0
    assert "2 records came out again; signed" in capsys.readouterr().out
    assert set(results.rglob("*")) - set(before) == {results / "short" / "fedavg" / confirmation.NAME}
    made = index(bench).records["short", "fedavg"].values()
    assert confirmation.confirmed(results, made) == 2


def test_a_forged_record_is_not_confirmed(bench: Path) -> None:
    folder = bench / "results" / "short" / "fedavg"
    forged = store.read(folder / "1.json").model_copy(update={"seed": 0})
    (folder / "0.json").write_text(canonical_json(forged))
    assert store.read(folder / "0.json") == forged
    with pytest.raises(BenchmarkError, match=r"short/fedavg/0.json: differs from its record on a machine of the same"):
        confirm.confirm(index(bench), "short", "fedavg")

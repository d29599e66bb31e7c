"""A record run again: the same bits, another machine's, and what is no longer true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.core.version import ENGINE
from benchmark.experiments import rerun
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import run
from benchmark.records import environment, record, store
from benchmark.records.index import ResultsIndex, index_with_live_methods
from helpers.handmade_records import TASK, example_results, make, write


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One true record of this machine."""
    folder = tmp_path_factory.mktemp("results")
    run(Cell(TASK, "fedavg"), folder)
    return folder


def of_another_cpu(results: Path, made: record.Record, **measured: Any) -> record.Record:
    """The record as another processor's, with these measurements."""
    target = results / made.path
    how = json.loads(target.with_suffix(".run.json").read_bytes())
    how["environment"]["cpu"] = "another"
    content = made.model_dump(mode="json", by_alias=True, exclude={"record_sha256", "result_sha256"})
    content["result"] |= measured
    other = record.Record.model_validate(content)
    store.write(other, how, target)
    return other


def test_a_true_record_comes_out_bit_for_bit_and_a_false_one_does_not(results: Path) -> None:
    made = store.read(results / TASK / "fedavg" / "0.json")
    suite = index_with_live_methods(results)
    assert rerun.rerun(made, suite) == "the same result bit for bit"
    assert made.result is not None
    near = made.result.accuracy_last5 + 0.03
    false = made.model_dump(exclude={"record_sha256", "result_sha256"}, by_alias=True)
    false["result"]["accuracy_last5"] = near
    with pytest.raises(BenchmarkError, match=r"on a machine of the same kind: accuracy_last5 -3.00 points"):
        rerun.rerun(record.Record.model_validate(false), suite)
    other = of_another_cpu(results, made, accuracy_last5=near)
    assert rerun.rerun(other, suite).startswith("within 5.0 points on a machine of another kind (cpu ")
    far = of_another_cpu(results, made, accuracy_last5=near + 0.03)
    with pytest.raises(BenchmarkError, match=r"\(cpu .*accuracy_last5 -6.00 points, allowed ±5.00"):
        rerun.rerun(far, suite)


def test_another_machine_may_lie_as_far_off_as_another_seed_but_five_points_anyway(tmp_path: Path) -> None:
    for method, accuracies in {"fedavg": (0.5, 0.6), "fedntd": (0.7, 0.7), "fedprox": (0.1,)}.items():
        for seed, accuracy in enumerate(accuracies):
            write(tmp_path, make(method, seed, accuracy))
    suite = index_with_live_methods(tmp_path)
    # fedavg's variance is 2 * 0.05^2, fedntd's 0: a mean of 0.05^2; fedprox says nothing of seeds
    assert rerun.tolerance(suite, TASK) == pytest.approx(3 * 2**0.5 * 0.05)
    assert rerun.tolerance(suite, "fmnist-shards") == 0.05


def test_a_record_is_named_or_drawn(tmp_path: Path) -> None:
    suite = ResultsIndex.load(example_results(tmp_path))
    assert rerun.choose(suite, f"{TASK}/fedntd/1").path == Path(TASK, "fedntd", "1.json")
    assert rerun.choose(suite, f"{TASK}/fedprox").seed == 0
    assert rerun.choose(suite, "").task == TASK
    for wrong in (f"{TASK}/fedntd/9", "fmnist-shards", f"{TASK}/fedntd/1/2"):
        with pytest.raises(BenchmarkError, match="no valid record"):
            rerun.choose(suite, wrong)


def test_a_stale_record_is_not_drawn(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedprox", 0, engine=ENGINE + 1))
    with pytest.raises(BenchmarkError, match="no valid record"):
        rerun.choose(ResultsIndex.load(results), f"{TASK}/fedprox")


def test_a_stacked_cell_is_run_as_it_was(tmp_path: Path) -> None:
    made = make("fedavg", 1, backend="stacked")
    how = environment.environment(command="", workers=1, seconds=1.0, device="cuda")
    store.write(made, how | {"stacked": {"graphs": True}}, tmp_path / made.path)
    assert rerun.cell(made, tmp_path) == Cell(TASK, "fedavg", 1, backend="stacked", device="cuda", graphs=True)

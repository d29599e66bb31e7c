"""What boards can tell apart, from records made by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.analysis import power
from benchmark.analysis.detection import detectable
from benchmark.analysis.estimators import accuracy
from benchmark.core.tasks import task as tasks
from benchmark.records.index import ResultsIndex
from helpers.handmade_records import TASK, example_results, make, result, write


def evaluated(*accuracies: float) -> dict[str, object]:
    """A result with these accuracies from evaluation to evaluation."""
    made = result(accuracies[-1])
    first = made["evaluations"][0]
    made["evaluations"] = [first | {"round": i + 1, "accuracy": value} for i, value in enumerate(accuracies)]
    return made


def board(results: Path) -> power.Power:
    """Power of the task of the records by hand."""
    found = power.of_board(ResultsIndex.load(results), tasks.load(TASK))
    assert found is not None
    return found


def test_a_board_of_two_methods(tmp_path: Path) -> None:
    # FedAvg 50, 52, 54 and FedNTD 60, 61, 65: differences 10, 9, 11 with deviation 1. FedProx has a single seed.
    found = board(example_results(tmp_path))
    assert (found.rows, found.seeds, found.protocol) == (["fedavg", "fedntd", "fedprox"], 3, [1])
    final, mean = found.resolutions  # one evaluation: there is no mean of ten
    assert (final.estimator, mean.estimator) == ("final", "mean")
    assert final.means == pytest.approx({"fedavg": 52, "fedntd": 62, "fedprox": 55})
    assert final.difference_sd == pytest.approx(1) and final.prior_degrees == 0
    assert final.detectable == final.detectable_plain == pytest.approx(detectable(1.0, 3))
    assert final.detectable_corrected == pytest.approx(detectable(1.0, 3, level=0.05 / 2))
    assert (final.pairs, final.apart) == (1, 1)  # p = 0.0033, see test_stats
    assert final.seeds_needed == 5  # G*Power: an effect of 2 deviations needs five pairs
    # the records by hand took a second each
    assert found.core_hours == pytest.approx(7 / 3600) and found.row_hours == pytest.approx(1 / 3600)
    assert final.row_hours_needed == pytest.approx(5 / 3600)


def test_floor_and_ceiling(tmp_path: Path) -> None:
    results = example_results(tmp_path)  # digits: the commonest test digit is 14.76 % of them
    write(results, make("fedavg", 0, 0.16), make("fedavg", 1, 0.15), make("fedavg", 2, 0.16))
    assert board(results).floor == pytest.approx(14.763, abs=1e-3)
    assert (board(results).at_floor, board(results).ceiling) == (["fedavg"], 100)


def test_a_method_that_diverges_is_named_and_not_compared(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedntd", 2, None))
    found = board(results)
    assert found.diverged == {"fedntd": pytest.approx(1 / 3)} and found.rows == ["fedavg", "fedprox"]


def test_only_rows_that_are_judged_alike_are_compared(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(make("fedprox", seed, 0.3 + 0.1 * seed, judged="clients") for seed in range(3)))
    assert board(results).rows == ["fedavg", "fedntd"]


def test_stale_records_do_not_count(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(make("fedntd", seed, engine=99) for seed in range(3)))
    assert board(results).rows == ["fedavg", "fedprox"]


def test_rounds_and_the_mean_of_ten(tmp_path: Path) -> None:
    # 20 judged rounds: ten at 10 %, then 40 60 40 60 ... around a mean of 50, which ends at 60.
    results = example_results(tmp_path)
    zigzag = [0.4, 0.6] * 5
    for name in ("fedavg", "fedntd", "fedprox"):
        write(results, *(make(name, seed, result=evaluated(*[0.1] * 10, *zigzag)) for seed in range(3)))
    final, last10, mean = board(results).resolutions
    assert [one.estimator for one in (final, last10, mean)] == ["final", "last10", "mean"]
    assert {one.difference_sd for one in (final, last10, mean)} == {0}  # all rows and seeds are equal
    measured = make("fedavg", 0, result=evaluated(*[0.1] * 10, *zigzag)).result
    assert measured is not None
    assert [estimate(measured) for estimate in power.ESTIMATORS.values()] == pytest.approx([60, 50, 30])
    assert accuracy(measured) == pytest.approx(30)
    few = make("fedavg", 0, result=evaluated(*[0.1] * 5, 0.4)).result
    assert few is not None and accuracy(few) == pytest.approx(40)  # too few rounds for a mean


def test_trial_runs_count_by_the_hash_of_their_task(tmp_path: Path) -> None:
    file = tmp_path / "candidate.yaml"
    text = (tasks.FOLDER / f"{TASK}.yaml").read_text()
    file.write_text(text)
    task, results = tasks.load(str(file)), tmp_path / "trial"
    known = {"task": task.sha256, "algorithm": "cd" * 32, "data": {}, "split": "ef" * 32}
    for name in ("fedavg", "fedntd"):
        write(
            results,
            *(
                make(name, seed, 0.4 + 0.1 * seed).model_copy(
                    update={"task": "candidate", "hashes": make(name, 0).hashes.model_copy(update=known)}
                )
                for seed in (0, 1)
            ),
        )
    found = power.of_trial(task, results)
    assert found is not None and (found.rows, found.seeds) == (["fedavg", "fedntd"], 2)
    file.write_text(text + "\nrounds: 7\n" if "rounds" not in text else text.replace("rounds: ", "rounds: 1"))
    assert power.of_trial(tasks.load(str(file)), results) is None


def test_the_command_prints_tables_and_json_without_torch(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    code = (
        "import sys; from benchmark.cli import invoke; "
        f"code = invoke(['power', '{TASK}', '--results', {str(results)!r}, *sys.argv[1:]]); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    printed = {
        words: subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True).stdout
        for words in ((), ("--json",), ("--markdown",))
    }
    (found,) = json.loads(printed["--json",])
    assert found["task"] == TASK and found["resolutions"][0]["apart"] == 1
    assert "1 of 1 (100%)" in printed[()] and printed["--markdown",].startswith("| task")

"""Tables from hand-made records: numbers, and which rows are comparable."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from pandas import isna
from scipy.special import stdtr

from benchmark.analysis.tables import table
from benchmark.core.tasks import task as tasks
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.records.index import ResultsIndex
from helpers.handmade_records import TASK, example_results, fingerprint, make, result, write


def rows(results: Path) -> dict[str, dict[str, Any]]:
    """The task's table by method."""
    suite = ResultsIndex.load(results)
    return {row["method"]: row for row in table(suite, suite.tasks[TASK]).to_dict(orient="records")}


def test_the_numbers_of_a_row(tmp_path: Path) -> None:
    # example_results: FedAvg 50, 52, 54 %; FedNTD 60, 61, 65 %; differences 10, 9, 11, so 10 +- 4.302653 / sqrt(3)
    found = rows(example_results(tmp_path))
    assert found["fedavg"]["accuracy"] == 52.0 and found["fedavg"]["last5"] == 51.0
    assert found["fedavg"]["accuracy_interval"] == round(4.302653 * 2 / sqrt(3), 3)
    assert found["fedntd"]["difference"] == 10.0
    assert found["fedntd"]["difference_interval"] == round(4.302653 / sqrt(3), 3)
    assert found["fedntd"]["p"] == pytest.approx(0.0033, abs=5e-5)  # see test_stats
    assert (found["fedavg"]["mb_up"], found["fedavg"]["mb_down"]) == (3.0, 5.0)
    assert isna(found["fedavg"]["difference"])  # to itself


def unlike(accuracy: float) -> dict[str, Any]:
    """A result in which no two columns of a table have the same number."""
    made = result(accuracy)
    made["evaluations"].insert(0, made["evaluations"][0] | {"round": 20, "accuracy": 0.9})
    made["bytes"] |= {"up_wire": 3_600_000, "down_wire": 5_900_000}
    return made | {"accuracy_last5": 0.8, "in_local": 0.7, "out_local": 0.2}


def test_every_column_holds_what_its_name_says(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(make("fedntd", seed, result=unlike(value)) for seed, value in enumerate((0.60, 0.61, 0.65))))
    write(results, *(make("fedprox", seed, result=unlike(0.3)) for seed in range(3)))
    found = rows(results)
    assert list(found) == ["fedntd", "fedavg", "fedprox"]  # by the final accuracy, 62, 52, 30, not by the last five
    row = found["fedntd"]
    # the accuracy of the end, not of the best round; payload, not the wire; the difference is one of final accuracies
    assert (row["accuracy"], row["last5"], row["difference"]) == (62.0, 80.0, 10.0)
    assert (row["in_local"], row["out_local"], row["mb_up"], row["mb_down"]) == (70.0, 20.0, 3.0, 5.0)


def test_a_column_that_some_seeds_lack_is_empty(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(make("fedntd", seed, result=unlike(0.6)) for seed in range(2)))
    assert isna(rows(results)["fedntd"]["in_local"]) and rows(results)["fedntd"]["seeds"] == 3


def test_rows_of_equal_accuracy_stand_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, make("fedntd", 0), make("fedavg", 0), make("fedavg", 1))  # not in that of "1 of 3 seeds", "2 of 3"
    assert list(rows(tmp_path)) == ["fedavg", "fedntd"]


def test_rows_that_count_stand_above_better_ones_that_do_not(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedprox", 0, 0.99))
    assert list(rows(results)) == ["fedntd", "fedavg", "fedprox"]  # 62 and 52 % over three seeds, 99 % of one


def test_effort_to_a_target_needs_every_seed(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    for seed, reached in enumerate(({0.5: 4, 0.7: 20}, {0.5: 6, 0.7: 22}, {0.5: 8})):
        write(results, make("fedntd", seed, result=result(0.6, targets=reached)))
    row = rows(results)["fedntd"]
    assert (row["rounds_to_50"], row["mb_to_50"], row["reached_50"]) == (6.0, 0.6, 3)
    assert isna(row["rounds_to_70"]) and row["reached_70"] == 2


def test_few_seeds_stand_apart(tmp_path: Path) -> None:
    row = rows(example_results(tmp_path))["fedprox"]
    assert not row["comparable"] and row["remarks"] == "1 of 3 seeds"


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"protocol": PROTOCOL + 1}, f"protocol {PROTOCOL + 1}, now {PROTOCOL}"),
        ({"engine": ENGINE + 1}, f"engine {ENGINE + 1}, now {ENGINE}"),
        ({"departures": ["rounds 4 instead of 40"]}, "rounds 4 instead of 40"),
        ({"settings": {"beta": 2.0}}, "its hyper-parameters have changed"),
    ],
)
def test_other_versions_are_not_mixed_in(tmp_path: Path, changes: dict[str, Any], mark: str) -> None:
    results = example_results(tmp_path)
    write(results, make("fedntd", 0, accuracy=0.9, **changes))
    suite = ResultsIndex.load(results)
    frame = table(suite, suite.tasks[TASK])
    mine = frame[frame["method"] == "fedntd"]
    assert list(mine["seeds"]) == [1, 2] and not mine["comparable"].any()
    assert mark in mine["remarks"].iloc[0]
    assert list(mine["accuracy"]) == [90.0, 63.0]  # 61 and 65 %, without the 90


def test_stale_records_are_not_compared_from_either_side(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedntd", 0, accuracy=0.9, engine=ENGINE + 1))
    suite = ResultsIndex.load(results)
    mine = [row for row in table(suite, suite.tasks[TASK]).to_dict(orient="records") if row["method"] == "fedntd"]
    assert isna(mine[0]["difference"]) and isna(mine[1]["difference"])  # the second has two seeds, one too few
    write(results, *(make("fedavg", seed, engine=ENGINE + 1) for seed in range(3)), make("fedntd", 0, 0.6))
    assert isna(rows(results)["fedntd"]["difference"])


def test_records_of_two_backends_are_two_rows_and_not_compared(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedntd", 2, 0.65, backend="stacked"))
    suite = ResultsIndex.load(results)
    found = table(suite, suite.tasks[TASK]).to_dict(orient="records")
    ours = {row["backend"]: (row["seeds"], row["remarks"]) for row in found if row["method"] == "fedntd"}
    assert ours == {"loop": (2, "2 of 3 seeds"), "stacked": (1, "the seeds of the loop backend count; 1 of 3 seeds")}
    write(results, *(make("fedntd", seed, 0.65, backend="stacked") for seed in range(3)))
    row = rows(results)["fedntd"]
    assert row["comparable"] and isna(row["difference"])  # FedAvg's records are of the loop


def test_changed_methods_and_tasks_make_records_stale(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    fingerprint(results, "fedntd", sha256="cd" * 32)
    stale = make("fedavg", 0)
    write(results, stale.model_copy(update={"hashes": stale.hashes.model_copy(update={"task": "cd" * 32})}))
    found = ResultsIndex.load(results)
    assert found.stale_reasons(found.records[TASK, "fedntd"][0]) == ["its method has changed"]
    assert found.stale_reasons(found.records[TASK, "fedavg"][0]) == ["its task has changed"]
    assert found.missing(TASK) == {"fedavg": [0], "fedntd": [0, 1, 2], "fedprox": [1, 2]}


def test_other_data_and_a_method_that_is_gone_make_records_stale(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    made = make("fedavg", 0)
    data = {name: dict.fromkeys(parts, "cd" * 32) for name, parts in made.hashes.data.items()}
    write(results, made.model_copy(update={"hashes": made.hashes.model_copy(update={"data": data})}))
    (results / "methods" / "fedprox.json").unlink()
    found = ResultsIndex.load(results)
    assert found.stale_reasons(found.records[TASK, "fedavg"][0]) == ["its data have changed"]
    assert found.stale_reasons(found.records[TASK, "fedprox"][0]) == ["its method is gone"]


def test_a_diverged_seed_is_a_row_with_its_reason(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedprox", 1, accuracy=None))
    row = rows(results)["fedprox"]
    assert "seed 1 diverged: loss is nan" in row["remarks"] and row["seeds"] == 1 and row["diverged"] == 50.0
    assert ResultsIndex.load(results).missing(TASK) == {"fedprox": [2]}


def test_three_finished_seeds_do_not_hide_a_diverged_one(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedntd", 3, accuracy=None))
    row = rows(results)["fedntd"]
    assert not row["comparable"] and row["remarks"] == "seed 3 diverged: loss is nan" and row["seeds"] == 3


def test_what_a_tuning_chose_is_not_called_set_by_the_task(tmp_path: Path) -> None:
    results, task = example_results(tmp_path), tasks.load(TASK)
    given = task.model_copy(update={"methods": {"fedavg": {}, "fedntd": {}}, "tuned": {"fedntd": {}}})
    found = table(replace(ResultsIndex.load(results), tasks={TASK: given}), given)
    expected = {"fedavg": "set by the task", "fedntd": "tuned", "fedprox": "defaults"}
    assert dict(zip(found["method"], found["settings"], strict=True)) == expected


def test_a_board_shrinks_variances_and_corrects_over_its_rows(tmp_path: Path) -> None:
    # by hand: differences to FedAvg of FedNTD 10, 9, 11 (variance 1) and of FedProx -20, -22, -24 (variance 4), of
    # FedNTD to FedProx 30, 31, 35 (variance 7); the logarithms of 1, 4, 7 spread by 1.06, less than trigamma(1) = 1.64
    # that chance alone gives, so all three share their mean, 4, and 6 degrees of freedom: the three have two each.
    results = example_results(tmp_path)
    write(results, *(make("fedprox", seed, value) for seed, value in enumerate((0.30, 0.30, 0.30))))
    found = rows(results)
    half = 2.446912 * sqrt(4 / 3)  # the 97.5 % quantile of t with 6 degrees of freedom
    for method, difference in (("fedntd", 10.0), ("fedprox", -22.0)):
        assert found[method]["difference"] == difference
        assert found[method]["difference_interval"] == round(half, 3)
    t = 10 / sqrt(4 / 3)  # p of t with 6 degrees is 1.3e-4, and the larger of two stays itself under Holm's correction
    assert found["fedntd"]["p"] == round(2 * float(stdtr(6, -t)), 6)
    assert [found[method]["group"] for method in ("fedntd", "fedavg", "fedprox")] == ["a", "b", "c"]
    assert [row["best"] for row in found.values()] == [True, False, False]  # FedNTD, FedAvg, FedProx


def test_controls_are_not_compared(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    fingerprint(results, "central")
    write(results, *(make("central", seed, 0.9) for seed in range(3)))
    row = rows(results)["central"]
    assert row["comparable"] and isna(row["difference"]) and row["group"] == ""


def test_models_that_are_judged_differently_are_not_compared(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(make("fedntd", seed, judged="clients") for seed in range(3)))
    row = rows(results)["fedntd"]
    assert isna(row["difference"])

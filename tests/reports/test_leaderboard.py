"""Tables from hand-made records: numbers, what stands apart, equal bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from pandas import isna

from benchmark.analysis.claims import wanted
from benchmark.analysis.tables import table
from benchmark.core.tasks import task as tasks
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.records.index import ResultsIndex
from benchmark.reports import leaderboard
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
    made["bytes"] |= {"up_wire": 4_000_000, "down_wire": 7_000_000}
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


def test_numbers_of_a_row_stand_on_the_board(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    for seed, accuracy in enumerate((0.6, 0.62, 0.64)):  # ten points above FedAvg every time
        write(results, make("fedprox", seed, result=result(accuracy, targets={0.5: 4 + 2 * seed})))
    text = leaderboard.files(ResultsIndex.load(results))[tmp_path / "LEADERBOARD.md"]
    lines = {line.split("|")[1].strip(): line for line in text.split(f"### {TASK}\n")[1].splitlines() if "|" in line}
    assert "| 6.0, 0.60 " in lines["fedprox"]  # rounds 4, 6, 8 at 0.1 MB each
    assert "| <0.0001 " in lines["fedprox"] and "| 0.0033 " in lines["fedntd"]


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
    assert "2 of 3 seeds" in leaderboard.files(ResultsIndex.load(results))[tmp_path / "LEADERBOARD.md"]


def test_few_seeds_stand_apart(tmp_path: Path) -> None:
    row = rows(example_results(tmp_path))["fedprox"]
    assert not row["comparable"] and row["marks"] == "1 of 3 seeds"


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
    assert mark in mine["marks"].iloc[0]
    assert list(mine["accuracy"]) == [90.0, 63.0]  # 61 and 65 %, without the 90


def test_stale_records_are_not_compared_from_either_side(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedntd", 0, accuracy=0.9, engine=ENGINE + 1))
    suite = ResultsIndex.load(results)
    mine = [row for row in table(suite, suite.tasks[TASK]).to_dict(orient="records") if row["method"] == "fedntd"]
    assert isna(mine[0]["difference"]) and mine[1]["difference"] == 10.0  # seeds 1 and 2: 9 and 11
    write(results, *(make("fedavg", seed, engine=ENGINE + 1) for seed in range(3)), make("fedntd", 0, 0.6))
    assert isna(rows(results)["fedntd"]["difference"])


def test_enough_stale_seeds_are_no_row_of_the_ranking(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(make("fedntd", seed, 0.9, engine=ENGINE + 1) for seed in range(3)))
    assert overview(results, "fedntd") == "open (0 of 3 seeds)"
    section = leaderboard.files(ResultsIndex.load(results))[tmp_path / "LEADERBOARD.md"].split(f"### {TASK}\n")[1]
    ranked, apart = section.split("\n### ")[0].split("Not comparable:")
    assert "| fedavg " in ranked and "| fedntd " not in ranked and "| fedntd " in apart


def test_metrics_are_those_of_the_row_that_counts(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedntd", 3, 0.99, engine=ENGINE + 1))
    found = leaderboard.files(ResultsIndex.load(results))[results / "metrics" / TASK / "fedntd.json"]
    assert json.loads(found)["accuracy"] == 62.0


def test_records_of_two_backends_are_two_rows_and_not_compared(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedntd", 2, 0.65, backend="stacked"))
    suite = ResultsIndex.load(results)
    found = table(suite, suite.tasks[TASK]).to_dict(orient="records")
    ours = {row["backend"]: (row["seeds"], row["marks"]) for row in found if row["method"] == "fedntd"}
    assert ours == {"loop": (2, "2 of 3 seeds"), "stacked": (1, "the seeds of the loop backend count; 1 of 3 seeds")}
    assert overview(results, "fedntd") == "open (2 of 3 seeds)"
    write(results, *(make("fedntd", seed, 0.65, backend="stacked") for seed in range(3)))
    row = rows(results)["fedntd"]
    assert row["comparable"] and isna(row["difference"])  # FedAvg's records are of the loop


def test_of_two_backends_the_one_with_more_seeds_counts(tmp_path: Path) -> None:
    results = example_results(tmp_path)  # FedNTD: 60, 61, 65 % by the loop
    write(results, *(make("fedntd", seed, 0.9, backend="stacked") for seed in (3, 4, 5)))
    assert overview(results, "fedntd") == "62.00 ± 6.57"
    write(results, make("fedntd", 6, 0.9, backend="stacked"))
    assert overview(results, "fedntd") == "90.00 ± 0.00"
    metrics = leaderboard.files(ResultsIndex.load(results))[results / "metrics" / TASK / "fedntd.json"]
    assert json.loads(metrics)["seeds"] == 4


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
    assert "seed 1 diverged: loss is nan" in row["marks"] and row["seeds"] == 1
    assert ResultsIndex.load(results).missing(TASK) == {"fedprox": [2]}


def test_three_finished_seeds_do_not_hide_a_diverged_one(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedntd", 3, accuracy=None))
    row = rows(results)["fedntd"]
    assert not row["comparable"] and row["marks"] == "seed 3 diverged: loss is nan" and row["seeds"] == 3


def test_what_a_tuning_chose_is_not_called_set_by_the_task(tmp_path: Path) -> None:
    results, task = example_results(tmp_path), tasks.load(TASK)
    given = task.model_copy(update={"methods": {"fedavg": {}, "fedntd": {}}, "tuned": {"fedntd": {}}})
    found = table(replace(ResultsIndex.load(results), tasks={TASK: given}), given)
    expected = {"fedavg": "set by the task", "fedntd": "tuned", "fedprox": "defaults"}
    assert dict(zip(found["method"], found["settings"], strict=True)) == expected


def test_records_of_a_task_that_is_gone_are_named(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedavg", 0).model_copy(update={"task": "digits-gone"}))
    text = leaderboard.files(ResultsIndex.load(results))[tmp_path / "LEADERBOARD.md"]
    assert "- `digits-gone/fedavg/0.json`: its task is gone" in text


def test_a_claim_that_fails_is_shown_and_its_task_asks_for_its_methods_alone(tmp_path: Path) -> None:
    results, paper = example_results(tmp_path), "paper-fedntd-t1-cifar10-s2"
    claims = [f"{{id: far, tasks: [{TASK}], methods: [fedavg], value: 10.0}}"]
    claims += [f"{{id: open, tasks: [{paper}], methods: [fedntd], value: 10.0}}"]
    source = "sources: [{paper: P, table: T, source: S, seen: true, claims: [%s]}]"
    (results / "claims.yaml").write_text(source % ", ".join(claims))
    suite = ResultsIndex.load(results)
    text = leaderboard.files(suite)[tmp_path / "LEADERBOARD.md"]
    assert "| far " in text and "| not reproduced " in text
    section = text.split(f"### {paper}\n")[1].split("\n### ")[0]
    assert f"Open (seeds): fedntd ({suite.tasks[paper].seeds[0]}" in section and "fedavg" not in section
    assert list(wanted(suite, paper)) == ["fedntd"] and list(wanted(suite, TASK)) == ["fedprox"]


def test_the_board_says_what_to_know_about_the_claims_on_it(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    known = f"{{id: known, tasks: [{TASK}], methods: [fedavg], value: 52.0, note: of the last round}}"
    open_ = "{id: open, tasks: [paper-fedntd-t1-cifar10-s2], methods: [fedntd], value: 10.0, note: unread}"
    source = "{{paper: P, table: {}, source: S, seen: true, note: by eye, claims: [{}]}}"
    (results / "claims.yaml").write_text(f"sources: [{source.format('A', known)}, {source.format('B', open_)}]")
    text = leaderboard.files(ResultsIndex.load(results))[tmp_path / "LEADERBOARD.md"]
    notes = text.split("Of these claims:\n\n")[1].split("\n\n")[0]
    assert notes == "- P, A: by eye.\n- `known`: of the last round."


def test_the_overview_tells_open_cells_from_diverged_ones(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedprox", 1, accuracy=None))
    assert overview(results, "fedprox") == "open (1 of 3 seeds)"
    write(results, make("fedprox", 2, accuracy=None))
    assert overview(results, "fedprox") == "diverged (2 of 3 seeds)"


def overview(results: Path, method: str) -> str:
    """What the first table of the board says of a method on the only task with records."""
    text = leaderboard.files(ResultsIndex.load(results))[results.parent / "LEADERBOARD.md"]
    line = next(line for line in text.splitlines() if line.startswith(f"| {method} "))
    return line.split("|")[2].strip()


def test_models_that_are_judged_differently_are_not_compared(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(make("fedntd", seed, judged="clients") for seed in range(3)))
    row = rows(results)["fedntd"]
    assert isna(row["difference"])


def test_the_board_says_what_is_open_not_applicable_and_broken(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    fingerprint(results, "fedmd", track=["heterogeneous"])
    fingerprint(results, "scarce", needs=["unlabelled"], track=["global"])
    fingerprint(results, "broken", fault="cannot be imported (SyntaxError)")
    (results / TASK / "fedprox" / "1.json").write_text("{")
    text = leaderboard.files(ResultsIndex.load(results))[tmp_path / "LEADERBOARD.md"]
    section = text.split(f"### {TASK}\n")[1].split("\n### ")[0]
    assert "fedprox (1, 2)" in section
    assert "fedmd (its track is heterogeneous, the task's is global)" in section
    assert "broken (cannot be imported (SyntaxError))" in section
    assert f"`{TASK}/fedprox/1.json`" in text


def test_the_same_records_give_the_same_bytes_and_stale_tables_go(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    leaderboard.write(results)
    paths = [tmp_path / "LEADERBOARD.md", results / "tables" / f"{TASK}.csv"]
    before = [path.read_bytes() for path in paths]
    (results / "tables" / "gone.csv").write_text("method\n")
    leaderboard.write(results)
    assert [path.read_bytes() for path in paths] == before
    assert [path.name for path in (results / "tables").iterdir()] == [f"{TASK}.csv"]


def test_boards_and_claims_need_no_torch() -> None:
    modules = "benchmark.pipeline.verify, benchmark.analysis.claims, benchmark.reports.leaderboard"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

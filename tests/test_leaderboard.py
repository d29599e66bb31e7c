"""Tables from hand-made records: numbers, what stands apart, equal bytes."""

from __future__ import annotations

import subprocess
import sys
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from pandas import isna
from records import TASK, fingerprint, make, result, shelf, write

from benchmark import leaderboard
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.suite import Suite
from benchmark.tables import table


def rows(results: Path) -> dict[str, dict[str, Any]]:
    """The task's table by method."""
    suite = Suite.load(results)
    return {row["method"]: row for row in table(suite, suite.tasks[TASK]).to_dict(orient="records")}


def test_the_numbers_of_a_row(tmp_path: Path) -> None:
    # shelf: FedAvg 50, 52, 54 %; FedNTD 60, 61, 65 %; differences 10, 9, 11, so 10 +- 4.302653 / sqrt(3)
    found = rows(shelf(tmp_path))
    assert found["fedavg"]["accuracy"] == 52.0 and found["fedavg"]["last5"] == 51.0
    assert found["fedavg"]["accuracy_interval"] == round(4.302653 * 2 / sqrt(3), 3)
    assert found["fedntd"]["difference"] == 10.0
    assert found["fedntd"]["difference_interval"] == round(4.302653 / sqrt(3), 3)
    assert found["fedntd"]["p"] == pytest.approx(0.0033, abs=5e-5)  # see test_stats
    assert (found["fedavg"]["mb_up"], found["fedavg"]["mb_down"]) == (3.0, 5.0)
    assert isna(found["fedavg"]["difference"])  # to itself


def test_effort_to_a_target_needs_every_seed(tmp_path: Path) -> None:
    results = shelf(tmp_path)
    for seed, reached in enumerate(({0.5: 4, 0.7: 20}, {0.5: 6, 0.7: 22}, {0.5: 8})):
        write(results, make("fedntd", seed, result=result(0.6, targets=reached)))
    row = rows(results)["fedntd"]
    assert (row["rounds_to_50"], row["mb_to_50"], row["reached_50"]) == (6.0, 0.6, 3)
    assert isna(row["rounds_to_70"]) and row["reached_70"] == 2
    assert "2 of 3 seeds" in leaderboard.files(Suite.load(results))[tmp_path / "LEADERBOARD.md"]


def test_few_seeds_stand_apart(tmp_path: Path) -> None:
    row = rows(shelf(tmp_path))["fedprox"]
    assert not row["comparable"] and row["marks"] == "1 of 3 seeds"


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"protocol": PROTOCOL + 1}, f"protocol {PROTOCOL + 1}, now {PROTOCOL}"),
        ({"engine": ENGINE + 1}, f"engine {ENGINE + 1}, now {ENGINE}"),
        ({"departures": ["rounds 4 instead of 40"]}, "rounds 4 instead of 40"),
        ({"settings": {"beta": 2.0}}, "its tuned values have changed"),
    ],
)
def test_other_versions_are_not_mixed_in(tmp_path: Path, changes: dict[str, Any], mark: str) -> None:
    results = shelf(tmp_path)
    write(results, make("fedntd", 0, accuracy=0.9, **changes))
    suite = Suite.load(results)
    frame = table(suite, suite.tasks[TASK])
    mine = frame[frame["method"] == "fedntd"]
    assert list(mine["seeds"]) == [1, 2] and not mine["comparable"].any()
    assert mark in mine["marks"].iloc[0]
    assert list(mine["accuracy"]) == [90.0, 63.0]  # 61 and 65 %, without the 90


def test_records_of_two_backends_are_two_rows_and_not_compared(tmp_path: Path) -> None:
    results = shelf(tmp_path)
    write(results, make("fedntd", 2, 0.65, backend="stacked"))
    suite = Suite.load(results)
    found = table(suite, suite.tasks[TASK]).to_dict(orient="records")
    ours = {row["backend"]: (row["seeds"], row["marks"]) for row in found if row["method"] == "fedntd"}
    assert ours == {"loop": (2, "2 of 3 seeds"), "stacked": (1, "1 of 3 seeds")}
    write(results, *(make("fedntd", seed, 0.65, backend="stacked") for seed in range(3)))
    row = rows(results)["fedntd"]
    assert row["comparable"] and isna(row["difference"])  # FedAvg's records are of the loop


def test_changed_methods_and_tasks_make_records_stale(tmp_path: Path) -> None:
    results = shelf(tmp_path)
    fingerprint(results, "fedntd", sha256="cd" * 32)
    stale = make("fedavg", 0)
    write(results, stale.model_copy(update={"hashes": stale.hashes.model_copy(update={"task": "cd" * 32})}))
    found = Suite.load(results)
    assert found.marks(found.records[TASK, "fedntd"][0]) == ["its method has changed"]
    assert found.marks(found.records[TASK, "fedavg"][0]) == ["its task has changed"]
    assert found.open(TASK) == {"fedavg": [0], "fedntd": [0, 1, 2], "fedprox": [1, 2]}


def test_a_diverged_seed_is_a_row_with_its_reason(tmp_path: Path) -> None:
    results = shelf(tmp_path)
    write(results, make("fedprox", 1, accuracy=None))
    row = rows(results)["fedprox"]
    assert "seed 1 diverged: loss is nan" in row["marks"] and row["seeds"] == 1
    assert Suite.load(results).open(TASK) == {"fedprox": [2]}


def test_the_overview_tells_open_cells_from_diverged_ones(tmp_path: Path) -> None:
    results = shelf(tmp_path)
    write(results, make("fedprox", 1, accuracy=None))
    assert overview(results, "fedprox") == "open (1 of 3 seeds)"
    write(results, make("fedprox", 2, accuracy=None))
    assert overview(results, "fedprox") == "diverged (2 of 3 seeds)"


def overview(results: Path, method: str) -> str:
    """What the first table of the board says of a method on the only task with records."""
    text = leaderboard.files(Suite.load(results))[results.parent / "LEADERBOARD.md"]
    line = next(line for line in text.splitlines() if line.startswith(f"| {method} "))
    return line.split("|")[2].strip()


def test_models_that_are_judged_differently_are_not_compared(tmp_path: Path) -> None:
    results = shelf(tmp_path)
    write(results, *(make("fedntd", seed, judged="clients") for seed in range(3)))
    row = rows(results)["fedntd"]
    assert isna(row["difference"])


def test_the_board_says_what_is_open_not_applicable_and_broken(tmp_path: Path) -> None:
    results = shelf(tmp_path)
    fingerprint(results, "fedmd", track=["heterogeneous"])
    fingerprint(results, "scarce", needs=["unlabelled"], track=["global"])
    fingerprint(results, "broken", fault="cannot be imported (SyntaxError)")
    (results / TASK / "fedprox" / "1.json").write_text("{")
    text = leaderboard.files(Suite.load(results))[tmp_path / "LEADERBOARD.md"]
    section = text.split(f"### {TASK}\n")[1].split("\n### ")[0]
    assert "fedprox (1, 2)" in section
    assert "fedmd (its track is heterogeneous, the task's is global)" in section
    assert "broken (cannot be imported (SyntaxError))" in section
    assert f"`{TASK}/fedprox/1.json`" in text


def test_the_same_records_give_the_same_bytes_and_stale_tables_go(tmp_path: Path) -> None:
    results = shelf(tmp_path)
    leaderboard.write(results)
    paths = [tmp_path / "LEADERBOARD.md", results / "tables" / f"{TASK}.csv"]
    before = [path.read_bytes() for path in paths]
    (results / "tables" / "gone.csv").write_text("method\n")
    leaderboard.write(results)
    assert [path.read_bytes() for path in paths] == before
    assert [path.name for path in (results / "tables").iterdir()] == [f"{TASK}.csv"]


def test_boards_and_claims_need_no_torch() -> None:
    code = "import sys, benchmark.verify, benchmark.claims, benchmark.leaderboard; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

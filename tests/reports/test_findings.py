"""The page of findings: numbers that name their rows, and what happens to one that has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.records.index import ResultsIndex
from benchmark.reports import findings
from helpers.handmade_records import TASK, example_results, make, result, write


def filled(results: Path, words: str, place: str = TASK) -> str:
    """What stands for a quantity."""
    text = findings.fill(f'About [nothing](#{place} "{words}"), they say.', ResultsIndex.load(results))
    assert text.startswith("About [") and text.endswith(f'](#{place} "{words}"), they say.')
    return text.removeprefix("About [").split("]")[0]


def test_numbers_come_from_comparable_rows(tmp_path: Path) -> None:
    results = example_results(tmp_path)  # FedAvg 50, 52, 54 %, FedNTD 60, 61, 65 %; 3 MB up, 5 MB down
    assert filled(results, "fedavg accuracy") == "52.0 %"
    assert filled(results, "fedntd minus fedavg accuracy") == "10.0 points"
    assert filled(results, "fedntd mb_up") == "3.0 MB"
    assert filled(results, "fedntd over fedavg mb_down") == "1 times"
    assert filled(results, "fedntd p") == "p = 0.0033"  # by seed 10, 9, 11: t = 17.3, 2 degrees


def test_a_quotient_is_of_the_first_over_the_second_and_forgetting_is_in_points(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    traffic = result(0.6)["bytes"] | {"up": 6_000_000, "by_name": [
        ["train", "down", "model", 5_000_000], ["train", "up", "model", 6_000_000]]}  # fmt: skip
    write(results, *(make("fedntd", seed, result=result(0.6) | {"bytes": traffic}) for seed in range(3)))
    assert filled(results, "fedntd over fedavg mb_up") == "2 times"  # 6 MB over 3
    assert filled(results, "fedavg over fedntd mb_up") == "0.5 times"
    assert filled(results, "fedavg forgetting") == "10.0 points"


def test_nothing_is_a_multiple_of_nothing(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedntd", 0, result=result(0.6, forgetting=0.0)))
    with pytest.raises(BenchmarkError, match="fedntd has 0 there"):
        filled(results, "fedavg over fedntd forgetting of seed 0")


def test_a_number_may_be_of_one_seed(tmp_path: Path) -> None:
    results = example_results(tmp_path)  # seed 2: FedAvg 54 %, FedNTD 65 %; FedProx has seed 0 alone
    write(results, make("fedprox", 0, 0.57), make("moon", 0, 0.9, protocol=0))
    assert filled(results, "fedavg accuracy of seed 2") == "54.0 %"
    assert filled(results, "fedntd minus fedavg accuracy of seed 2") == "11.0 points"
    assert filled(results, "fedprox accuracy of seed 0") == "57.0 %"
    for words in ("fedprox accuracy of seed 1", "moon accuracy of seed 0"):  # no record, and one that is outdated
        with pytest.raises(BenchmarkError, match="no comparable row"):
            filled(results, words)


def test_claims_are_counted(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    claim = f"{{id: a, tasks: [{TASK}], methods: [fedavg], value: 52.0, deviation: 2.5}}"
    text = f"sources: [{{paper: P, table: T, source: S, seen: true, claims: [{claim}]}}]"
    (results / "claims.yaml").write_text(text)
    names = ("reproduced", "claims", "not measured")
    assert [filled(results, name, "claims") for name in names] == ["1", "1", "0"]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("fedprox accuracy", "no comparable row fedprox"),  # one seed
        ("fedavg beauty", "no comparable row fedavg with a column beauty"),
        ("fedavg p", "no comparable row fedavg with a column p"),  # it is the reference
        ("fedavg times fedntd accuracy", "no quantity"),
    ],
)
def test_a_number_without_a_row_is_a_fault(tmp_path: Path, words: str, fault: str) -> None:
    with pytest.raises(BenchmarkError, match=fault):
        filled(example_results(tmp_path), words)
    with pytest.raises(BenchmarkError, match="no verdict"):
        filled(example_results(tmp_path), "guessed", "claims")


def test_prose_and_other_links_stay(tmp_path: Path) -> None:
    text = "# Findings\n\n5 methods, [52.0 %](protocol.md), `fedavg`.\n"
    assert findings.fill(text, ResultsIndex.load(example_results(tmp_path))) == text

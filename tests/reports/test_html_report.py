"""The page from hand-made records: what is in it, where it looks, equal bytes; and what it says of bad folders."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmark.analysis import curves, tables
from benchmark.cli import invoke
from benchmark.core.version import ENGINE
from benchmark.records import record
from benchmark.records.index import ResultsIndex
from benchmark.reports import pages
from benchmark.reports.html import chart_data
from benchmark.reports.html import page as report
from helpers import parsed_tables
from helpers.handmade_records import TASK, example_results, fingerprint, make, result, with_checksum, write


class Page(HTMLParser):
    """Attributes that load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [str(v) for k, v in attrs if k in ("src", "href", "srcset", "data") and tag != "a"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FedAvg 50, 52, 54 %, FedNTD 60, 61, 65 %, one seed of FedProx, all with 3 MB up and 5 MB down."""
    return example_results(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(results: Path) -> str:
    """The page of these records."""
    return report.page(ResultsIndex.load(results))


def test_tables_are_there_without_a_script_and_nothing_is_loaded(page: str) -> None:
    rows = {row["Method"]: row for row in parsed_tables.html(page, f"{TASK} board")}
    assert rows["fedavg"]["Accuracy (% ± 95 % CI)"] == "52.0 ± 5.0"  # 4.302653 * 2 / sqrt(3)
    assert rows["fedprox"]["Remarks"] == "1 of 3 seeds"
    assert Page(page).loads == ["data:,"]  # an empty icon, so that browsers ask for none
    assert "@import" not in page and "url(" not in page.split("</style>")[0]


def test_the_page_opens_with_the_ranking_of_every_track(page: str) -> None:
    rows = parsed_tables.html(page, "leaderboard ranking")
    head = f"{TASK} (% ± 95 % CI)"
    assert [(row["Method"], row["Mean rank"], row[head]) for row in rows] == [
        ("fedntd", "1.0", "62.0 ± 6.6"), ("fedavg", "2.0", "52.0 ± 5.0"), ("fedprox", "", "open (1 of 3 seeds)"),
    ]  # fmt: skip
    assert page.index("<table") == page.index('<table class="ranking">') < page.index('<table class="board">')


def test_the_page_says_how_to_obtain_every_record_again(page: str) -> None:
    section = page.split('id="method-fedntd"')[1].split("</details>\n")[0]
    assert "class FedNTD(Algorithm)" in section and "L = CE(q, y) + beta tau^2" in section
    assert section.count("<code>fedrepro run</code>") == 3 and f"{TASK}/fedntd/2.json" in section


def test_equal_records_are_equal_bytes(results: Path, page: str) -> None:
    assert report.page(ResultsIndex.load(results)) == page


def test_nothing_in_a_record_or_a_method_can_leave_its_place(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    fingerprint(results, "fedprox", paper="</td><script>alert(1)</script>")
    write(results, make("fedprox", 1, result=result(0.5) | {"bytes": _traffic("</script><b>")}))
    text = report.page(ResultsIndex.load(results))
    assert "<script>alert" not in text and text.count("</script>") == 3


def _traffic(name: str) -> dict[str, Any]:
    return {"up": 6, "down": 0, "up_wire": 9, "down_wire": 0, "by_name": [["train", "up", name, 6]]}


def test_curves_are_means_between_the_lowest_and_the_highest_seed(results: Path) -> None:
    suite = ResultsIndex.load(results)
    curve = curves.over_rounds(list(suite.valid_records(TASK, "fedntd").values()))
    assert curve["round"] == [40] and curve["mb"] == [8.0]
    assert (curve["low"], curve["accuracy"], curve["high"]) == ([60.0], [62.0], [65.0])
    assert curve["classes"] == [[62.0] * 10]


def test_curves_are_of_records_against_which_nothing_speaks(results: Path) -> None:
    write(results, make("fedprox", 0, 0.55, engine=ENGINE + 1))
    text = pages.files(ResultsIndex.load(results))[results / "curves" / f"{TASK}.csv"]
    # example_results: FedNTD 60, 61, 65 %, FedAvg 50, 52, 54 %, judged once; the board's order
    assert text.splitlines()[1:] == [
        "fedntd,3,40,8.0,62.0,60.0,65.0,10.0,10.0,10.0", "fedavg,3,40,8.0,52.0,50.0,54.0,10.0,10.0,10.0",
    ]  # fmt: skip


def test_only_rounds_that_all_seeds_have_are_on_a_curve() -> None:
    late = result(0.4)
    late["evaluations"] = [late["evaluations"][0] | {"round": 20}, late["evaluations"][0]]
    curve = curves.over_rounds([make("fedavg", 0, 0.6), make("fedavg", 1, result=late)])
    assert curve["round"] == [40] and curve["accuracy"] == [50.0]


def test_mb_of_a_round_are_the_mean_over_seeds() -> None:
    frugal = result(0.4)
    frugal["evaluations"] = [frugal["evaluations"][0] | {"bytes": 4_000_000}]
    assert curves.over_rounds([make("fedavg", 0, 0.6), make("fedavg", 1, result=frugal)])["mb"] == [6.0]


def test_the_front_has_what_nothing_beats_in_both_and_no_pooled_method(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    for name, accuracy, pooled in (("cheap", 0.3, False), ("worse", 0.2, False), ("pool", 0.9, True)):
        fingerprint(results, name, pooled=pooled)
        cheap = result(accuracy) | {"bytes": {"up": 6, "down": 0, "up_wire": 9, "down_wire": 0,
                                              "by_name": [["train", "up", "model", 6]]}}  # fmt: skip
        write(results, *(make(name, seed, result=cheap) for seed in range(3)))
    suite = ResultsIndex.load(results)
    spots = chart_data.points(suite, tables.tables(suite)[TASK])
    assert {spot["method"] for spot in spots if spot["front"]} == {"cheap", "fedntd"}
    assert chart_data.chosen(spots) == ["fedavg", "fedntd", "cheap", "worse"]  # the reference, then by accuracy


def test_a_point_is_mb_both_ways_and_the_interval_of_its_accuracy(results: Path) -> None:
    suite = ResultsIndex.load(results)
    (point,) = (p for p in chart_data.points(suite, tables.tables(suite)[TASK]) if p["method"] == "fedavg")
    # 3 MB up, 5 down; 52 % and half an interval of 4.302653 * 2 / sqrt(3) = 4.968
    assert (point["mb"], point["low"], point["high"]) == (8.0, 47.032, 56.968)


def test_traffic_is_a_mean_over_seeds_and_weighs_methods_alike() -> None:
    def sent(**sizes: int) -> record.Record:
        total = sum(sizes.values())
        parts = {"up": total, "down": 0, "up_wire": total, "down_wire": 0,
                 "by_name": [["train", "up", name, size] for name, size in sizes.items()]}  # fmt: skip
        return make("fedavg", 0, result=result(0.5) | {"bytes": parts})

    (entry,) = chart_data.traffic({"fedavg": [sent(a=2_000_000), sent(a=4_000_000)]})
    assert entry["mb"] == 3.0
    # the only message of a frugal method is all of its payload; each of a lavish one's six is a sixth
    found = chart_data.traffic({"lavish": [sent(**dict.fromkeys("abcdef", 1_000_000))], "frugal": [sent(s=10)]})
    kinds = {entry["name"]: entry["kind"] for entry in found}
    assert kinds["s"] == "up: s" and kinds["a"] == "up: a" and kinds["f"] == "up: other"


def test_messages_beyond_the_weightiest_share_a_colour(results: Path) -> None:
    names = [chr(97 + i) for i in range(9)]  # a weighs 9 of 45, b 8 of 45, ...
    traffic = {"up": 45, "down": 0, "up_wire": 45, "down_wire": 0,
               "by_name": [["train", "up", name, 9 - i] for i, name in enumerate(names)]}  # fmt: skip
    found = chart_data.traffic({"fedavg": [make("fedavg", 0, result=result(0.5) | {"bytes": traffic})]})
    assert [entry["kind"] for entry in found] == [f"up: {name}" for name in names[:6]] + ["up: other"] * 3
    assert [entry["name"] for entry in found] == names


def test_pictures_follow_the_tables(results: Path, tmp_path: Path) -> None:
    (tmp_path / "gone.svg").write_text("<svg/>")
    report.write_pictures(ResultsIndex.load(results), tmp_path)
    (picture,) = tmp_path.iterdir()
    assert picture.name == f"{TASK}.svg" and "fedntd" in picture.read_text()
    board = pages.files(ResultsIndex.load(results))[results.parent / "docs" / "boards" / f"{TASK}.md"]
    assert board.count("../pictures/") == 1 and f"../pictures/{TASK}.svg" in board


def test_metrics_are_a_small_file_per_method(results: Path) -> None:
    found = pages.files(ResultsIndex.load(results))
    metrics = {path.name: text for path, text in found.items() if path.parts[-3:-1] == ("metrics", TASK)}
    assert sorted(metrics) == ["fedavg.json", "fedntd.json", "fedprox.json"]
    assert json.loads(metrics["fedntd.json"]) | {"last5": 0} == {
        "accuracy": 62.0, "last5": 0, "forgetting": 10.0, "mb_up": 3.0, "mb_down": 5.0, "seeds": 3,
    }  # fmt: skip


def test_folders_without_readable_records_are_refused_in_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["report", "--results", str(tmp_path), "--out", str(tmp_path / "page.html")]
    (tmp_path / "methods").mkdir()
    assert invoke(words) == 2
    assert capsys.readouterr().err == f"fedrepro: {tmp_path}: no records; `fedrepro bench` makes some, in bench/\n"
    path = tmp_path / TASK / "fedavg" / "0.json"
    write(tmp_path, make("fedavg", 0))
    path.write_text(with_checksum(json.loads(path.read_text()) | {"schema": 2}))
    assert invoke(words) == 2
    error = capsys.readouterr().err
    assert f"none of 1 records can be used; {TASK}/fedavg/0.json: not a record: it is of schema version 2" in error
    assert error.count("\n") == 1 and not (tmp_path / "page.html").exists()


def test_damaged_records_are_named_and_the_others_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    results = example_results(tmp_path)
    (results / TASK / "fedprox" / "0.json").write_text("{")
    assert invoke(["report", "--results", str(results), "--out", str(tmp_path / "page.html")]) == 0
    out, err = capsys.readouterr()
    assert ": 6 records, " in out
    assert err.startswith(f"1 files are left out, {TASK}/fedprox/0.json for one: not a record")
    text = (tmp_path / "page.html").read_text()
    assert f"<li><code>{TASK}/fedprox/0.json</code>: not a record" in text

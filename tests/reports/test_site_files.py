"""Files of the site from hand-made records: data at their addresses, and links that lead somewhere."""

from __future__ import annotations

import csv
import io
import json

import pytest

from benchmark.records.index import ResultsIndex
from benchmark.reports import pages, site
from helpers.handmade_records import TASK, example_results


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """FedAvg 50, 52, 54 %, FedNTD 60, 61, 65 %, one seed of FedProx, all with 3 MB up and 5 MB down."""
    results = example_results(tmp_path_factory.mktemp("repository"))
    (results / "SCHEMA.md").write_text("# Records\n")
    pages.write(results)
    return site.files(ResultsIndex.load(results))


def test_every_board_is_there_as_csv_and_json(files: dict[str, str]) -> None:
    index = json.loads(files["data/index.json"])
    assert index["tasks"] == {TASK: f"data/{TASK}.json"}
    table = json.loads(files[f"data/{TASK}.json"])
    rows = {row["method"]: row for row in table["rows"]}
    assert (table["task"], table["track"]) == (TASK, "global")
    assert rows["fedavg"]["accuracy"] == 52.0 and rows["fedavg"]["accuracy_interval"] == 4.968  # 4.302653 * 2 / sqrt(3)
    assert rows["fedntd"]["comparable"] is True and rows["fedntd"]["mb_up"] == 3.0
    assert rows["fedprox"]["comparable"] is False and rows["fedprox"]["p"] is None
    units = {column["name"]: column["unit"] for column in table["columns"]}
    assert (units["mb_up"], units["accuracy_interval"], units["method"]) == ("MB", "%", "")
    lines = list(csv.reader(io.StringIO(files[f"data/{TASK}.csv"])))
    assert lines[0] == list(units) and [line[0] for line in lines[1:]] == list(rows)


def test_links_lead_to_pages_of_the_site() -> None:
    text = "[fedavg](algorithms/fedavg.py) [t](docs/boards/t.md) [c](CLAIMS.md) [s](results/SCHEMA.md) [p](https://a.b)"
    assert site.linked(text) == (
        "[fedavg](report.html#method-fedavg) [t](boards/t.md) [c](claims.md) [s](schema.md) [p](https://a.b)"
    )


def test_pages_and_report_are_part_of_the_site(files: dict[str, str]) -> None:
    assert files["leaderboard.md"].startswith("# Leaderboard") and files["claims.md"].startswith("# Claims")
    assert f"[{TASK}](boards/{TASK}.md)" in files["data.md"] and "(docs/" not in files["leaderboard.md"]
    assert files["report.html"].startswith("<!doctype html>") and 'id="method-fedntd"' in files["report.html"]

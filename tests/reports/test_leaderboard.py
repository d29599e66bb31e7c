"""Leaderboard and boards as pages of hand-made records: ranks, links, what is left out, equal bytes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.core.version import ENGINE
from benchmark.records.index import ResultsIndex
from benchmark.reports import pages
from benchmark.reports.tracks import mean_ranks, rankings
from helpers import parsed_tables
from helpers.handmade_records import TASK, example_results, fingerprint, make, write


def page(results: Path, name: str = "LEADERBOARD.md") -> str:
    """A page, by its path from the root."""
    return pages.files(ResultsIndex.load(results))[results.parent / name]


def board(results: Path) -> str:
    """The board of the only task with records."""
    return page(results, f"docs/boards/{TASK}.md")


def ranked(results: Path) -> dict[str, dict[str, str]]:
    """The rows of the only track's ranking by method, without the link to the paper."""
    (table,) = parsed_tables.markdown(page(results))
    return {row["Method"].removesuffix(" (paper)"): row for row in table}


def on_task(results: Path, method: str) -> str:
    """What the ranking says of a method on the only task with records."""
    return ranked(results)[method][f"{TASK} (% ± 95 % CI)"]


def test_methods_are_ranked_and_controls_are_set_apart(tmp_path: Path) -> None:
    results = example_results(tmp_path)  # FedAvg 52 %, FedNTD 62 %, one seed of FedProx; 8 MB of 20 clients
    fingerprint(results, "fedntd", paper="Lee et al. 2022, arXiv 2106.03097")
    fingerprint(results, "central", pooled=True)
    write(results, *(make("central", seed, 0.9) for seed in range(3)))
    assert [(row["#"], name, row["Mean rank"]) for name, row in ranked(results).items()] == [
        ("1", "fedntd", "1.0"), ("2", "fedavg", "2.0"), ("", "fedprox", ""), ("control", "central", ""),
    ]  # fmt: skip
    row = ranked(results)["fedntd"]
    assert (row[f"{TASK} (% ± 95 % CI)"], row["Sent per client (MB)"], row["Seeds"]) == ("62.0 ± 6.6", "0.4", "3")
    text = page(results)
    assert "[fedntd](algorithms/fedntd.py) ([paper](https://arxiv.org/abs/2106.03097))" in text
    assert "**62.0\u00a0±\u00a06.6**" in text and text.count("**") == 4  # the best, and the word in the explanation
    assert "*[central](algorithms/central.py)*" in text and f"[{TASK}](docs/boards/{TASK}.md) (%" in text


def test_a_mean_rank_is_over_tasks_on_which_a_method_has_a_value_everywhere() -> None:
    # t1: a 1, b and c share 2 and 3; t2: c 1, a 2, b (diverged) 3; d has no value on t2
    found = mean_ranks({
        "t1": {"a": 50.0, "b": 40.0, "c": 40.0, "d": 90.0}, "t2": {"a": 20.0, "b": float("-inf"), "c": 30.0},
    })  # fmt: skip
    assert found == {"a": 1.5, "b": 2.75, "c": 1.75}
    assert mean_ranks({}) == {}


def test_lite_tasks_alone_are_ranked_over(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(make("fedavg", seed, 0.9, task="cifar10-shards") for seed in range(3)))
    index = ResultsIndex.load(results)
    (ranking,) = rankings(index, pages.tables(index), [])
    assert (ranking.tasks, ranking.others) == (["cifar10-shards"], [TASK])
    assert [row["method"] for row in ranking.rows] == ["fedavg"]
    assert f"Other boards: [{TASK}](docs/boards/{TASK}.md)." in page(results)


def test_a_method_that_diverges_ranks_last_and_one_that_is_open_has_no_rank(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedprox", 1, accuracy=None))
    assert on_task(results, "fedprox") == "open (1 of 3 seeds)" and ranked(results)["fedprox"]["#"] == ""
    write(results, make("fedprox", 2, accuracy=None))
    assert on_task(results, "fedprox") == "diverged (2 of 3 seeds)" and ranked(results)["fedprox"]["#"] == "3"


def test_a_leaderboard_of_the_real_records_is_short() -> None:
    text = (Path(__file__).parents[2] / "LEADERBOARD.md").read_text()
    assert text.count("\n") <= 200 and len(text.encode()) <= 25_000
    assert not re.search(r"[^|\s] {2,}\|", text)  # no padding
    for folder, columns in (("docs/boards", 8), ("docs/papers", 10)):
        for path in (Path(__file__).parents[2] / folder).glob("*.md"):
            assert all(len(row) <= columns for table in parsed_tables.markdown(path.read_text()) for row in table)


@pytest.mark.parametrize("name", ["LEADERBOARD.md", "CLAIMS.md"])
def test_every_link_of_the_committed_pages_leads_somewhere(name: str) -> None:
    root = Path(__file__).parents[2]
    targets = re.findall(r"\]\(([^)#]+)\)", (root / name).read_text())
    assert targets and not [t for t in targets if not t.startswith("https://") and not (root / t).exists()]


def test_enough_stale_seeds_are_no_row_of_the_ranking(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(make("fedntd", seed, 0.9, engine=ENGINE + 1) for seed in range(3)))
    assert on_task(results, "fedntd") == "open (0 of 3 seeds)"
    comparable, apart = board(results).split("## Not comparable")
    assert "| fedavg " in comparable and "| fedntd " not in comparable and "| fedntd " in apart


def test_metrics_are_those_of_the_row_that_counts(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedntd", 3, 0.99, engine=ENGINE + 1))
    assert json.loads(page(results, f"results/metrics/{TASK}/fedntd.json"))["accuracy"] == 62.0


def test_of_two_backends_the_one_with_more_seeds_counts(tmp_path: Path) -> None:
    results = example_results(tmp_path)  # FedNTD: 60, 61, 65 % by the loop
    write(results, make("fedntd", 2, 0.65, backend="stacked"))
    assert on_task(results, "fedntd") == "open (2 of 3 seeds)"
    write(results, make("fedntd", 2, 0.65), *(make("fedntd", seed, 0.9, backend="stacked") for seed in (3, 4, 5)))
    assert on_task(results, "fedntd") == "62.0 ± 6.6"
    write(results, make("fedntd", 6, 0.9, backend="stacked"))
    assert on_task(results, "fedntd") == "90.0 ± 0.0"
    assert json.loads(page(results, f"results/metrics/{TASK}/fedntd.json"))["seeds"] == 4


def test_records_of_a_task_that_is_gone_are_named(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, make("fedavg", 0).model_copy(update={"task": "digits-gone"}))
    assert "- `digits-gone/fedavg/0.json`: its task is gone" in page(results)


def test_models_that_are_judged_differently_are_named(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    write(results, *(make("fedntd", seed, judged="clients") for seed in range(3)))
    sentence = "Judged by their clients' models, not by a common one: fedntd."
    assert sentence in board(results) and sentence in page(results)


def test_a_board_says_what_is_open_not_applicable_and_broken(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    fingerprint(results, "fedmd", track=["heterogeneous"])
    fingerprint(results, "scarce", needs=["unlabelled"], track=["global"])
    fingerprint(results, "broken", fault="cannot be imported (SyntaxError)")
    (results / TASK / "fedprox" / "1.json").write_text("{")
    text = board(results)
    assert "Open (seeds): fedprox (1, 2), scarce (0, 1, 2)." in text
    assert "fedmd (its track is heterogeneous, the task's is global)" in text
    assert "broken (cannot be imported (SyntaxError))" in text
    assert f"`{TASK}/fedprox/1.json`" in page(results)


def test_only_tasks_with_records_have_a_board_and_the_others_share_a_line(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    boards = [path.name for path in pages.files(ResultsIndex.load(results)) if path.parent.name == "boards"]
    assert boards == [f"{TASK}.md"]
    (line,) = (line for line in page(results).splitlines() if line.startswith("Tasks without records: "))
    assert "cifar10-shards" in line and TASK not in line


def test_the_same_records_give_the_same_bytes_and_other_files_go(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    pages.write(results)
    paths = [tmp_path / "LEADERBOARD.md", tmp_path / "docs" / "boards" / f"{TASK}.md",
             results / "tables" / f"{TASK}.csv"]  # fmt: skip
    before = [path.read_bytes() for path in paths]
    others = [results / "tables" / "gone.csv", tmp_path / "docs" / "boards" / "gone.md",
              tmp_path / "docs" / "papers" / "gone.md"]  # fmt: skip
    for path in others:
        path.write_text("x")
    pages.write(results)
    assert [path.read_bytes() for path in paths] == before
    assert not [path for path in others if path.exists()]


def test_boards_and_claims_need_no_torch() -> None:
    modules = "benchmark.pipeline.verify, benchmark.analysis.claims, benchmark.reports.pages"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

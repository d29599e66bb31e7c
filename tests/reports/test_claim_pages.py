"""CLAIMS.md and the papers' pages from hand-made records: each number beside the paper's, and what is open."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.analysis.claims import wanted
from benchmark.analysis.cost import client_images, training_images
from benchmark.core.tasks import task as tasks
from benchmark.records.index import ResultsIndex
from benchmark.reports import pages
from helpers import parsed_tables
from helpers.handmade_records import TASK, example_results

PAPER = "paper-fedntd-t1-cifar10-s2"
CLAIMS = f"""
sources:
- paper: A Paper
  table: Table 2
  source: Someone et al. 2022, arXiv 2106.03097
  seen: true
  note: by eye
  claims:
  - {{id: close, tasks: [{TASK}], methods: [fedavg], value: 52.5}}
  - {{id: far, tasks: [{TASK}], methods: [fedntd], value: 10.0, seen: false, note: of the last round}}
  - {{id: open, tasks: [{PAPER}], methods: [fedntd], value: 10.0}}
- paper: A Paper
  table: abstract
  source: Someone et al. 2022, arXiv 2106.03097
  seen: true
  claims:
  - {{id: order, kind: order, tasks: [{TASK}], methods: [fedntd, fedavg], statement: FedNTD beats FedAvg}}
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """FedAvg 50, 52, 54 %, FedNTD 60, 61, 65 %, and four claims about them."""
    folder = example_results(tmp_path)
    (folder / "claims.yaml").write_text(CLAIMS)
    return folder


def page(results: Path, name: str = "docs/papers/a-paper.md") -> str:
    """A page, by its path from the root."""
    return pages.files(ResultsIndex.load(results))[results.parent / name]


def test_a_table_has_the_paper_s_number_and_ours_in_one_cell(results: Path) -> None:
    printed, others, missing = parsed_tables.markdown(page(results))
    ours, theirs = f"{TASK}, accuracy", f"{PAPER}, accuracy"
    inconclusive = "52.50 % → 52.00 ± 4.97 % (n = 3), off by -0.50 points; takes about 10 seeds, inconclusive"
    far = "10.00 % (recalled) → 62.00 ± 6.57 % (n = 3), off by +52.00 points, not reproduced"
    assert printed == [
        {"Method": "fedavg", ours: inconclusive, theirs: ""},
        {"Method": "fedntd", ours: far, theirs: "10.00 % → open"},
    ]
    assert [(row["Claim"], row["Verdict"]) for row in others] == [("FedNTD beats FedAvg", "reproduced")]
    # 100 clients of 500 images, 10 of them with 5 epochs in each of 200 rounds: 5 million
    assert missing == [{"Task": PAPER, "Methods (seeds)": "fedntd (0, 1, 2)", "Cost of a seed": "5.0 million images"}]


def test_a_page_says_source_counts_notes_and_setting(results: Path) -> None:
    text = page(results)
    assert "Someone et al. 2022, arXiv 2106.03097 ([paper](https://arxiv.org/abs/2106.03097))." in text
    assert "4 claims: 1 reproduced, 1 not reproduced, 1 inconclusive, 1 not measured. 1 of them are recalled." in text
    assert "## Table 2\n\nBy eye." in text and "- `far`: of the last round." in text
    assert f"[{TASK}](../boards/{TASK}.md), accuracy" in text
    assert f"- {PAPER}: paper; cifar10, shards; 100 clients, 10 per round, 200 rounds; cnn_fedntd; fp32. FedNTD" in text


def test_claims_are_listed_by_paper_with_a_count_of_what_is_not_measured(results: Path) -> None:
    text = page(results, "CLAIMS.md")
    (counts, judged) = parsed_tables.markdown(text)
    assert [row["Not measured"] for row in counts] == ["1", "1"]
    assert [row["Verdict"] for row in judged] == ["inconclusive", "not reproduced", "reproduced"]
    assert "[A Paper](docs/papers/a-paper.md)" in text and "1 further claims are not measured." in text


def test_a_paper_s_task_asks_for_the_methods_of_its_claims(results: Path) -> None:
    index = ResultsIndex.load(results)
    assert list(wanted(index, PAPER)) == ["fedntd"] and list(wanted(index, TASK)) == ["fedprox"]


def test_without_claims_there_is_an_empty_page_and_no_paper(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    assert parsed_tables.markdown(page(results, "CLAIMS.md")) == []
    assert not [path for path in pages.files(ResultsIndex.load(results)) if path.parent.name == "papers"]


def test_the_cost_of_a_seed_counts_the_images_of_local_training() -> None:
    # 2 of 2 devices with 2,000 images each: 250 steps of 64 images in each of 16 rounds
    assert training_images(tasks.load("paper-fd-t1-mnist-m2")) == 16 * 2 * 250 * 64
    assert client_images(tasks.load("paper-fd-t1-mnist-m2")) == 2000
    assert client_images(tasks.load("paper-fedmd-t4-cifar-iid")) == 3 * 6

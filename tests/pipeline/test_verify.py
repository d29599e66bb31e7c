"""Verification of a whole repository made of hand-made records: silent when all is well, a sentence for every harm."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.method_files import method_sha256
from benchmark.core.storage.atomic_files import write_atomic
from benchmark.core.storage.checksummed_json import canonical_json, dump_checksummed, load_checksummed
from benchmark.core.tasks import task as tasks
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.experiments.tuning import Point, Tuned
from benchmark.pipeline import listing, stages
from benchmark.pipeline.verify import sound, verify
from benchmark.reports import pages
from helpers.handmade_records import TASK, make, result, write

ROOT = Path(__file__).parents[2]


def consistent(accuracy: float) -> dict[str, Any]:
    """A result that is the same at all 15 evaluations, so that nothing is forgotten and a target is reached at once."""
    (only,) = result(accuracy)["evaluations"]
    evaluations = [{**only, "round": number, "forgetting": 0.0} for number in range(2, 31, 2)]
    reached = {True: {"round": 2, "bytes": only["bytes"]}, False: {"round": None, "bytes": None}}
    targets = [{"accuracy": goal, **reached[accuracy > goal]} for goal in (0.5, 0.7, 0.8)]
    summary = {"accuracy_last5": accuracy, "forgetting": 0.0, "evaluations": evaluations, "targets": targets}
    return result(accuracy) | summary


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one method and three cells."""
    (tmp_path / "algorithms").mkdir()
    shutil.copy(ROOT / "algorithms" / "fedavg.py", tmp_path / "algorithms")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    results = tmp_path / "results"
    sha256 = method_sha256(tmp_path / "algorithms" / "fedavg.py")
    (results / "methods").mkdir(parents=True)
    facts = {"name": "fedavg", "track": ["global"], "sha256": sha256}
    (results / "methods" / "fedavg.json").write_text(json.dumps(facts))
    for seed, accuracy in enumerate((0.48, 0.5, 0.52)):
        made = make("fedavg", seed, result=consistent(accuracy), judged="clients")
        write(results, made.model_copy(update={"hashes": made.hashes.model_copy(update={"algorithm": sha256})}))
    splits = {str(seed): {"sha256": made.hashes.split} for seed in range(3)}
    (results / TASK / "split.json").write_text(dump_checksummed({"task": TASK, **splits}))
    stages.write_datasets(results)
    listing.sync(results)
    stages.write_protocol(results, TASK)
    pages.write(results)
    return tmp_path


def test_nothing_to_find(root: Path) -> None:
    assert verify(root) == []


def _split(old: str, new: str) -> Callable[[Path], None]:
    """Another split, with its checksum."""

    def harm(root: Path) -> None:
        path = root / "results" / TASK / "split.json"
        text = canonical_json(load_checksummed(path.read_bytes())).replace(old, new)
        path.write_text(dump_checksummed(json.loads(text)))

    return harm


def _edit(path: str, old: str, new: str) -> Callable[[Path], None]:
    def harm(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new, 1))

    return harm


def _delete(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).unlink()


def _copy(source: str, path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).write_bytes((root / source).read_bytes())


def _add(path: str) -> Callable[[Path], None]:
    return lambda root: (root / path).write_text("x")


RECORD = f"results/{TASK}/fedavg/1.json"


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_edit(RECORD, '"accuracy": 0.5', '"accuracy": 0.6'), f"{RECORD}: not a record: its bytes have changed"),
        (_edit(RECORD, '"rounds": 30', '"rounds": 31'), "its bytes have changed"),
        (_copy(f"results/{TASK}/fedavg/2.json", RECORD), "belongs to"),
        (_delete(f"results/{TASK}/fedavg/1.run.json"), "how it was obtained is lost"),
        (_edit("LEADERBOARD.md", "50.0", "60.0"), "LEADERBOARD.md: is not what the records give"),
        (_edit(f"docs/boards/{TASK}.md", "50.0", "60.0"), f"docs/boards/{TASK}.md: is not what the records give"),
        (_edit("CLAIMS.md", "Claims", "Verdicts"), "CLAIMS.md: is not what the records give"),
        (_add("docs/papers/other.md"), "docs/papers/other.md: no records give this file"),
        (_add("docs/boards/other.md"), "docs/boards/other.md: no records give this file"),
        (_edit(f"results/tables/{TASK}.csv", "50.0", "60.0"), "csv: is not what the records give"),
        (_add("results/tables/other.csv"), "no records give this file"),
        (_edit("algorithms/fedavg.py", "(Algorithm):", "(Algorithm):\n    more = 1"), "has changed since"),
        (_edit("algorithms/fedavg.py", "class", "clas"), "has changed since its fingerprint"),
        (_delete("results/methods/fedavg.json"), "has no fingerprint"),
        (_delete("algorithms/fedavg.py"), "results/methods/fedavg.json: its method is gone"),
        (_edit("results/methods/fedavg.json", "{", '{"fault": "says so", '), "algorithms/fedavg.py: says so"),
        (_delete("results/datasets/digits.json"), "is missing; `dvc repro datasets`"),
        (_edit(f"results/{TASK}/protocol.json", '"clients": 20', '"clients": 21'), "not what the task file says"),
        (_split('"2"', '"3"'), "lacks seed 2"),
        (_delete(f"results/{TASK}/split.json"), "split.json: is missing"),
        (_split("abab", "cdcd"), "its data have changed"),
        (_edit(f"results/{TASK}/fedavg/dvc.yaml", "- 1\n", "- 4\n"), "does not list the records"),
        (_edit("results/tasks.yaml", TASK, "other"), "does not list the records"),
        (_edit("params.yaml", "engine: 2", "engine: 0"), "params.yaml: must hold"),
    ],
)
def test_every_harm_has_its_sentence(root: Path, harm: Callable[[Path], None], words: str) -> None:
    harm(root)
    assert any(re.search(words, sentence) for sentence in verify(root)), verify(root)


def test_a_remark_in_a_method_harms_nothing(root: Path) -> None:
    _edit("algorithms/fedavg.py", "from __future__", "# a remark\nfrom __future__")(root)
    assert verify(root) == []


def test_a_tuning_must_stand_and_its_choice_be_the_best_point(root: Path) -> None:
    path, task = root / "results" / TASK / "tuning" / "fedavg.json", tasks.load(TASK)
    sha256 = method_sha256(root / "algorithms" / "fedavg.py")
    points = [Point(settings={}, score=0.4, seconds=1.0), Point(settings={"train.lr": 0.3}, score=0.5, seconds=1.0)]
    made = Tuned(
        schema=1, protocol=PROTOCOL, engine=ENGINE, task=TASK, algorithm="fedavg", task_sha256=task.sha256,
        algorithm_sha256=sha256, seed=1000, rounds=7, validation=0.1, points=points, chosen={"train.lr": 0.3},
    )  # fmt: skip

    def found(old: str = "", new: str = "") -> list[str]:
        text = canonical_json(made).replace(old, new) if old else canonical_json(made)
        write_atomic(path, dump_checksummed(json.loads(text)))
        return [sentence for sentence in verify(root) if "tuning" in sentence]

    assert found() == []
    [sentence] = found('"score": 0.4', '"score": 0.6')
    assert "chosen is train.lr=0.3, but the best point is as it was" in sentence
    assert "its method has changed; `fedrepro tune fedavg" in found(sha256, "ab" * 32)[0]
    assert "its task has changed" in found(task.sha256, "ab" * 32)[0]
    assert "belongs to digits-mixed" in found(TASK, "digits-mixed")[0]
    assert f"belongs to {TASK} and fedntd" in found('"algorithm": "fedavg"', '"algorithm": "fedntd"')[0]


def test_the_page_of_findings_has_the_numbers_of_the_records(root: Path) -> None:
    page = root / "docs" / "findings.md"
    page.write_text(f'FedAvg ends at [50.0 %](#{TASK} "fedavg accuracy").')
    assert verify(root) == []
    page.write_text(page.read_text().replace("50.0", "51.0"))
    assert "its numbers are not what the records give" in verify(root)[0]
    page.write_text(page.read_text().replace("fedavg", "fedntd"))
    assert "no comparable row fedntd" in verify(root)[0]


def test_new_records_are_sound_before_the_tables_know_them(root: Path) -> None:
    sha256 = method_sha256(root / "algorithms" / "fedavg.py")
    record = make("fedavg", 2, result=consistent(0.6), judged="clients")
    hashes = record.hashes.model_copy(update={"algorithm": sha256})
    write(root / "results", record.model_copy(update={"hashes": hashes}))
    assert sound(root) == [] and verify(root) != []


@pytest.mark.parametrize(
    "harm",
    [
        _edit(RECORD, '"accuracy": 0.5', '"accuracy": 0.6'), _delete("params.yaml"),
        _edit("algorithms/fedavg.py", "(Algorithm):", "(Algorithm):\n    more = 1"),
    ],
)  # fmt: skip
def test_records_methods_and_versions_must_be_sound(root: Path, harm: Callable[[Path], None]) -> None:
    harm(root)
    assert sound(root) != []

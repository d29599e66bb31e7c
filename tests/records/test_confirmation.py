"""Sealed seeds follow from a secret alone; a confirmation counts by its signature and for the records that it names."""

from __future__ import annotations

import hashlib
import hmac
import json
import stat
from pathlib import Path

import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks import task as tasks
from benchmark.records import confirmation, sealed, store
from benchmark.records.confirmation import Confirmation, ConfirmedSeed
from benchmark.records.index import ResultsIndex
from benchmark.reports import pages
from helpers import handmade_records as records

SECRET = b"a secret of the maintainer"


def test_sealed_seeds_follow_from_the_secret_and_the_task() -> None:
    task = tasks.load(records.TASK)
    text = f"{task.name}\n{task.sha256}\n0".encode()
    first = int.from_bytes(hmac.new(SECRET, text, hashlib.sha256).digest()[:8], "big") // 4
    assert sealed.sealed_seeds(SECRET, task, 1) == (first,)
    seeds = sealed.sealed_seeds(SECRET, task, 5)
    assert seeds[0] == first and len(set(seeds)) == 5 and not set(seeds) & set(task.seeds)
    assert seeds == sealed.sealed_seeds(SECRET, task, 6)[:5]
    other = task.model_copy(update={"rounds": 31})
    assert not set(seeds) & set(sealed.sealed_seeds(SECRET + b"!", task, 5) + sealed.sealed_seeds(SECRET, other, 5))


def test_a_secret_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(BenchmarkError, match="cannot be read"):
        sealed.read_secret(path)
    path.write_bytes(b"  tomorrow \n")
    with pytest.raises(BenchmarkError, match="a secret of 8 bytes can be guessed"):
        sealed.read_secret(path)
    path.write_bytes(SECRET + b"\n")
    assert sealed.read_secret(path) == SECRET
    assert sealed.commitment(SECRET) == hashlib.sha256(SECRET).hexdigest()


def row(results: Path, method: str = "fedavg", seeds: tuple[int, ...] = (0, 1, 2)) -> Confirmation:
    """A confirmation of a row of `example_results`, not signed."""
    made = [store.read(results / records.TASK / method / f"{seed}.json") for seed in seeds]
    return Confirmation(
        task=records.TASK,
        algorithm=method,
        task_sha256=made[0].hashes.task,
        algorithm_sha256=made[0].hashes.algorithm,
        engine=made[0].engine,
        seeds=tuple(ConfirmedSeed(seed=one.seed, result_sha256=one.result_sha256, how="to the bit") for one in made),
        sealed=None,
        environment={},
        date="2026-11-29",
        not_enforced=[],
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three rows, of which FedAvg's is confirmed by a key that counts."""
    made = records.example_results(tmp_path)
    public = confirmation.new_key(tmp_path / "key")
    (made / "keys.json").write_text(json.dumps({"maintainer": public}))
    confirmation.write(confirmation.sign(row(made), (tmp_path / "key").read_text()), made)
    return made


def confirmed(results: Path, method: str = "fedavg") -> int:
    index = ResultsIndex.load(results)
    return confirmation.confirmed(results, index.records[records.TASK, method].values())


def test_a_private_key_is_its_owner_s_alone_and_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    confirmation.new_key(path)
    before = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(bytes.fromhex(before)) == 32
    with pytest.raises(BenchmarkError, match="is there already"):
        confirmation.new_key(path)
    assert path.read_text() == before
    with pytest.raises(BenchmarkError, match="not a private key"):
        confirmation.sign(row(records.example_results(tmp_path)), "no key")


def test_a_confirmation_counts_for_the_records_that_it_names(results: Path) -> None:
    assert confirmed(results) == 3 and confirmed(results, "fedntd") == 0 and not confirmation.findings(results)
    records.write(results, records.make("fedavg", 1, 0.7))  # another result
    assert confirmed(results) == 2
    records.write(results, *(records.make("fedavg", seed, 0.5 + 0.02 * seed, engine=1) for seed in range(3)))
    assert confirmed(results) == 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"seed": 2', '"seed": 3', "its signature does not hold"),
        ('"date": "2026-11-29"', '"date": "2026-11-30"', "its signature does not hold"),
        ('"sealed": null', '"sealed": []', "not a confirmation"),
        ('"algorithm": "fedavg"', '"algorithm": "fedntd"', "its signature does not hold"),
    ],
)
def test_an_edited_confirmation_counts_for_nothing(results: Path, old: str, new: str, words: str) -> None:
    path = results / records.TASK / "fedavg" / confirmation.NAME
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert confirmed(results) == 0
    (sentence,) = confirmation.findings(results)
    assert sentence.startswith(f"results/{records.TASK}/fedavg/confirmation.json: {words}")


def test_a_key_of_one_s_own_and_a_copy_for_another_row_count_for_nothing(results: Path, tmp_path: Path) -> None:
    confirmation.new_key(tmp_path / "own")
    confirmation.write(confirmation.sign(row(results, "fedntd"), (tmp_path / "own").read_text()), results)
    source = results / records.TASK / "fedavg" / confirmation.NAME
    (results / records.TASK / "fedprox" / confirmation.NAME).write_bytes(source.read_bytes())
    assert confirmed(results, "fedntd") == confirmed(results, "fedprox") == 0
    sentences = confirmation.findings(results)
    assert len(sentences) == 2 and "is not in results/keys.json" in sentences[0]
    assert "it belongs to fedavg on digits-shards" in sentences[1]


def test_the_board_sets_unconfirmed_rows_apart_and_is_the_same_file_without_any(results: Path, tmp_path: Path) -> None:
    page, table = (tmp_path / "docs/boards/digits-shards.md", results / "tables/digits-shards.csv")
    made = pages.files(ResultsIndex.load(results))
    assert "| 3, confirmed |" in made[page] and "| 3, unconfirmed |" in made[page]
    assert "Confirmed seeds were re-run" in made[page] and ",confirmed," in made[table].splitlines()[0]
    (results / records.TASK / "fedavg" / confirmation.NAME).unlink()
    without = pages.files(ResultsIndex.load(results))
    assert "confirmed" not in without[page].lower() and "confirmed" not in without[table]

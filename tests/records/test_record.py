"""Records: what is accepted, what equal bytes mean, what becomes of damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.checksummed_json import canonical_json
from benchmark.records import environment, store
from helpers.handmade_records import example_results, make, result, with_checksum, write


def test_a_record_survives_its_file_byte_for_byte(tmp_path: Path) -> None:
    made = make("fedavg", 0)
    write(tmp_path, made)
    path = tmp_path / "digits-shards" / "fedavg" / "0.json"
    found = store.read(path)
    assert found == made
    assert canonical_json(found).encode() == path.read_bytes()


def test_what_a_method_reports_is_kept_and_leaves_no_trace_elsewhere(tmp_path: Path) -> None:
    assert '"reported"' not in canonical_json(make("fedavg", 0))
    told = make("fl_faug", 0, result={**result(0.5), "reported": {"leakage": 0.25}})
    assert told.result is not None and told.result.reported == {"leakage": 0.25}
    write(tmp_path, told)
    assert store.read(tmp_path / told.path) == told
    with pytest.raises(ValueError, match="finite number"):
        make("fl_faug", 0, result={**result(0.5), "reported": {"leakage": float("inf")}})


def test_canonical_json_knows_no_order_and_no_infinity() -> None:
    assert canonical_json({"b": [1.5], "a": None}) == canonical_json({"a": None, "b": [1.5]})
    assert canonical_json({"b": 1, "a": 2}) == '{\n "a": 2,\n "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": float("nan")})


def test_the_hash_covers_the_result_alone() -> None:
    base = make("fedavg", 0)
    assert make("fedntd", 7).result_sha256 == base.result_sha256
    assert make("fedavg", 0, accuracy=0.51).result_sha256 != base.result_sha256


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("status", "fine", "status"),
        ("rounds", 2.5, "rounds"),
        ("seed", "0", "seed"),
        ("surprise", 1, "surprise"),
        ("result_sha256", "0" * 64, "hashes to"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, field: str, value: object, words: str) -> None:
    path = tmp_path / "0.json"
    path.write_text(with_checksum(json.loads(canonical_json(make("fedavg", 0))) | {field: value}))
    with pytest.raises(BenchmarkError, match=words) as caught:
        store.read(path)
    assert not caught.value.user and "restore" in caught.value.hint


def test_every_byte_of_a_record_is_covered_and_damage_is_told_apart(tmp_path: Path) -> None:
    write(tmp_path, made := make("fedavg", 0))
    path = tmp_path / made.path
    whole = path.read_bytes()
    damages = {
        whole.replace(b'"rounds": 30', b'"rounds": 31'): "its bytes have changed",
        whole.replace(b"record_sha256", b"record_sha257"): "its bytes have changed",
        whole[:-1]: "it is truncated", whole[:100]: "it is truncated", b"": "it is truncated",
        with_checksum(json.loads(whole) | {"schema": 2}).encode(): "it is of schema version 2, this fedrepro reads",
    }  # fmt: skip
    for content, words in damages.items():
        path.write_bytes(content)
        with pytest.raises(BenchmarkError, match=f"not a record: {words}"):
            store.read(path)


def test_numbers_must_be_finite_and_parts_must_add_up() -> None:
    for change in ({"accuracy": float("nan")}, {"accuracy": 1.5}):
        with pytest.raises(ValueError, match="accuracy"):
            make("fedavg", 0, result=result(0.5) | change)
    lost = result(0.5)
    lost["bytes"]["by_name"].pop()
    with pytest.raises(ValueError, match="parts of up add up to 0, not to 3000000"):
        make("fedavg", 0, result=lost)


def test_both_directions_add_up_and_classes_have_shares() -> None:
    lost = result(0.5)
    lost["bytes"]["by_name"].pop(0)
    with pytest.raises(ValueError, match="parts of down add up to 0, not to 5000000"):
        make("fedavg", 0, result=lost)
    odd = result(0.5)
    odd["evaluations"][0]["per_class"] = [1.5] * 10
    with pytest.raises(ValueError, match="per_class"):
        make("fedavg", 0, result=odd)


def test_records_come_in_the_order_of_their_seeds(tmp_path: Path) -> None:
    write(tmp_path, *(make("fedavg", seed) for seed in (10, 2, 1)))
    assert [entry.record.seed for entry in store.read_all(tmp_path) if entry.record] == [1, 2, 10]


@pytest.mark.parametrize(("flags", "name"), [("avx avx2 avx512f", "avx512f"), ("sse avx avx2", "avx2"), ("avx", "avx")])
def test_a_machine_s_kind_is_its_widest_instructions(flags: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    assert environment._instructions(flags) == name


def test_a_record_without_a_result_says_why() -> None:
    assert make("fedavg", 0, accuracy=None).status == "diverged"
    with pytest.raises(ValueError, match="needs a reason"):
        make("fedavg", 0, accuracy=None, reason="")
    with pytest.raises(ValueError, match="has no result"):
        make("fedavg", 0, accuracy=None, status="ok")


def test_damaged_and_misplaced_files_are_entries_with_a_reason(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    home = results / "digits-shards" / "fedavg"
    (home / "1.json").write_text(with_checksum({"zone": 1}))
    (home / "7.json").write_bytes((home / "0.json").read_bytes())
    (home / "notes.json").write_text("{}")  # no seed, no record
    reasons = {entry.path.name: entry.reason for entry in store.read_all(results) if entry.reason}
    assert reasons.keys() == {"1.json", "7.json"}
    assert "schema: Field required" in reasons["1.json"] and "digits-shards/fedavg/0.json" in reasons["7.json"]


def test_a_full_disk_leaves_the_old_record(tmp_path: Path) -> None:
    write(tmp_path, make("fedavg", 0))
    path = tmp_path / "digits-shards" / "fedavg" / "0.json"
    before = path.read_bytes()
    path.with_suffix(".run.json").unlink()
    path.with_suffix(".run.json").mkdir()  # the system refuses to replace a folder, as it refuses on a full disk
    with pytest.raises(BenchmarkError, match="cannot be written"):
        store.write(make("fedavg", 0, accuracy=0.9), {}, path)
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".*.tmp"))


def test_the_environment_names_versions_and_no_folder() -> None:
    run = environment.environment(command="fedrepro run", workers=2, seconds=1.26)
    assert run["workers"] == 2 and run["seconds"] == 1.3
    names = {"python", "torch", "numpy", "cpu", "instructions", "device", "threads", "system"}
    assert run["environment"].keys() == names
    assert not run["command"].startswith("/")


@pytest.mark.parametrize("name", ["$(touch x)", "a|b", "a<img>", "-x", "../a", "a\nb", "", "a;b", "`a`"])
def test_a_name_means_nothing_in_a_shell_or_a_table(name: str) -> None:
    make("my_method-2.1", 0)
    with pytest.raises(ValueError, match="String should match pattern"):
        make(name, 0)

"""Two records of a cell side by side: bits, bytes and measures within a tolerance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark.records import environment, store
from benchmark.records.compare import compare, compare_folders
from benchmark.records.environment import machine_kind
from helpers.handmade_records import make, result, write

BEFORE = make("fedavg", 0, 0.5)  # last five 49 %, forgetting 10 %, one evaluation


def changes(tolerance: dict[str, float] | None, **measured: Any) -> list[str]:
    return compare(BEFORE, make("fedavg", 0, result=result(0.5) | measured), tolerance).changes


def test_a_record_equals_itself() -> None:
    assert compare(BEFORE, BEFORE).difference == "" and compare(BEFORE, BEFORE).changes == []


def test_other_machines_may_round_but_not_send_differently() -> None:
    tolerance = {"accuracy_last5": 0.05}
    assert changes(tolerance, accuracy_last5=0.53) == []
    assert changes(tolerance, accuracy_last5=0.55) == ["accuracy_last5 +6.00 points, allowed ±5.00"]  # 55 - 49
    wire = result(0.5)["bytes"] | {"up_wire": 3_000_101}
    assert changes(tolerance, bytes=wire) == ["bytes.up_wire was 3000100, is 3000101"]


def test_without_a_tolerance_every_bit_counts() -> None:
    assert changes(None, forgetting=0.1 + 1e-7) == ["forgetting +0.00 points"]
    assert changes(None, in_local=0.5) == ["in_local was None, is 0.5"]  # what is no measure


def test_the_first_difference_names_its_place() -> None:
    evaluations = [result(0.5)["evaluations"][0] | {"per_class": [0.5] * 9 + [0.6]}]
    after = make("fedavg", 0, result=result(0.5) | {"evaluations": evaluations})
    assert compare(BEFORE, after).difference == "evaluations[0].per_class[9] was 0.5, is 0.6"


def test_another_status_is_a_change() -> None:
    assert compare(BEFORE, make("fedavg", 0, None), {}).changes == ["status was ok, is diverged (loss is nan)"]


def test_values_that_only_a_newer_schema_has_do_not_count() -> None:
    older = BEFORE.model_dump(mode="json")
    newer = older | {"result": older["result"] | {"steps": 7}}
    assert compare(older, newer).difference == ""


def test_two_folders_of_records(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    write(mine, *(make("fedavg", seed, 0.5) for seed in range(4)))
    assert compare_folders(mine, theirs).startswith("none of these 4 cells")
    write(theirs, *(make("fedavg", seed, value) for seed, value in enumerate((0.5, 0.52, 0.45))))
    assert compare_folders(mine, theirs).startswith(
        "1 of 3 cells equal the committed records bit for bit, accuracy differs by 5.0 points at most"
    )
    assert compare_folders(mine, mine) == "4 of 4 cells equal the committed records bit for bit"


@pytest.mark.parametrize("name", ["cpu", "instructions", "torch", "device", "system"])
def test_what_rounds_sums_makes_another_kind_of_machine(tmp_path: Path, name: str) -> None:
    how = environment.environment(command="", workers=1, seconds=1.0)
    other = how | {"environment": how["environment"] | {name: "another"}}
    store.write(BEFORE, how, tmp_path / "here.json")
    store.write(BEFORE, other, tmp_path / "there.json")
    assert machine_kind(tmp_path / "here.json") != machine_kind(tmp_path / "there.json")
    (tmp_path / "there.run.json").write_text(json.dumps({"environment": {}}))
    assert machine_kind(tmp_path / "there.json") is None

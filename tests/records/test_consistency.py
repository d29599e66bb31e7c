"""Records that contradict themselves, their task or each other: edits whose checksums fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.tasks import task as tasks
from benchmark.records import store
from benchmark.records.consistency import contradictions, repeated
from benchmark.records.record import Record

RESULTS = Path(__file__).parents[2] / "results"
TASK = "digits-shards"  # 30 rounds, evaluated every second, 359 test images
Edit = Callable[[dict[str, Any]], None]


def committed(method: str = "fedavg", seed: int = 0, task: str = TASK) -> Record:
    return store.read(RESULTS / task / method / f"{seed}.json")


def edited(edit: Edit, record: Record) -> Record:
    """The record after an edit, with the hash of its new result."""
    content = record.model_dump(mode="json", by_alias=True)
    edit(content)
    return Record.model_validate(
        {n: value for n, value in content.items() if n not in ("result_sha256", "record_sha256")}
    )


def _accuracy_alone(content: dict[str, Any]) -> None:
    content["result"]["accuracy"] = 0.999


def _last_five_alone(content: dict[str, Any]) -> None:
    content["result"]["accuracy_last5"] += 0.2


def _forgetting_alone(content: dict[str, Any]) -> None:
    content["result"]["forgetting"] = -1.0


def _forgetting_of_an_evaluation(content: dict[str, Any]) -> None:
    content["result"]["evaluations"][3]["forgetting"] = 0.0


def _one_late_evaluation(content: dict[str, Any]) -> None:
    content["result"]["evaluations"] = [{**content["result"]["evaluations"][-1], "round": 999_999, "forgetting": 0.0}]
    content["result"] |= {"accuracy_last5": content["result"]["accuracy"], "forgetting": 0.0, "targets": []}


def _a_hundredth_of_the_bytes(content: dict[str, Any]) -> None:
    traffic = content["result"]["bytes"]
    traffic["up"] //= 100
    traffic["by_name"] = [[p, way, n, size // 100 if way == "up" else size] for p, way, n, size in traffic["by_name"]]


def _no_envelope(content: dict[str, Any]) -> None:
    content["result"]["bytes"]["up_wire"] = content["result"]["bytes"]["up"] - 1


def _falling_bytes(content: dict[str, Any]) -> None:
    content["result"]["evaluations"][2]["bytes"] = 0


def _ten_times_the_rounds(content: dict[str, Any]) -> None:
    for entry in content["result"]["evaluations"]:
        entry["round"] *= 10


def _fewer_evaluations(content: dict[str, Any]) -> None:
    del content["result"]["evaluations"][5]


def _another_precision(content: dict[str, Any]) -> None:
    content["precision"] = "bf16"


def _another_track(content: dict[str, Any]) -> None:
    content["track"] = "personal"


def _one_round(content: dict[str, Any]) -> None:
    content["rounds"] = 1


def _no_data(content: dict[str, Any]) -> None:
    content["hashes"]["data"] = {}


def _another_seed(content: dict[str, Any]) -> None:
    content["seed"] = 17


def _a_target_reached(content: dict[str, Any]) -> None:
    content["result"]["targets"][-1] |= {"round": 2, "bytes": 100}


def _no_share_of_the_images(content: dict[str, Any]) -> None:
    """0.5 of every class is 0.5 of the whole, and 179.5 images of 359."""
    last = content["result"]["evaluations"][-1]
    last |= {"accuracy": 0.5, "per_class": [0.5] * 10}


def _classes_of_another_model(content: dict[str, Any]) -> None:
    content["result"]["evaluations"][-1]["per_class"] = [1.0] * 10


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_accuracy_alone, "accuracy is 0.999, its evaluations give"),
        (_last_five_alone, "accuracy_last5 is"),
        (_forgetting_alone, "forgetting is -1.0, its evaluations give"),
        (_forgetting_of_an_evaluation, "forgetting after round 8 is 0.0, its classes give"),
        (_one_late_evaluation, "it ran 999999 rounds, its task has 30"),
        (_a_hundredth_of_the_bytes, "bytes moved, at its last evaluation"),
        (_no_envelope, "shorter than what they hold"),
        (_falling_bytes, "its bytes fall"),
        (_ten_times_the_rounds, "it ran 300 rounds, its task has 30"),
        (_fewer_evaluations, "in other rounds than its task says"),
        (_another_precision, "precision is bf16, its task's fp32"),
        (_another_track, "track is personal, its task's global"),
        (_one_round, "rounds is 1, its task's 30"),
        (_no_data, "it rests on no data, its task on"),
        (_another_seed, "seed 17 is none of its task's"),
        (_a_target_reached, "its targets are not those"),
        (_no_share_of_the_images, "no share of 359 images"),
        (_classes_of_another_model, "its classes give 1.000000"),
    ],
)
def test_an_edit_that_fits_its_checksums_contradicts_something_else(edit: Edit, words: str) -> None:
    found = contradictions(edited(edit, committed()), tasks.load(TASK))
    assert any(words in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("task", "method"),
    [
        (TASK, "fedavg"),
        ("digits-mixed", "fedmd"),
        ("digits-personal", "ewc"),
        ("digits-unsup", "fedbyol"),
        (TASK, "fl_faug"),
    ],
)
def test_committed_records_of_every_kind_are_consistent(task: str, method: str) -> None:
    """FedMD and FAug have rounds before the task's, EWC two after them; FD is judged by its clients' models."""
    assert contradictions(committed(method, task=task), tasks.load(task)) == []


def test_a_seed_copied_to_another_is_found() -> None:
    def seed_one(content: dict[str, Any]) -> None:
        content["seed"] = 1

    copied = edited(seed_one, committed())
    assert repeated([committed(), copied]) == [
        f"{TASK}/fedavg/1.json has the result of {TASK}/fedavg/0.json to the bit"
    ]
    assert repeated([committed(), committed(seed=1)]) == []


def test_a_method_s_results_under_another_name_are_found() -> None:
    def renamed(content: dict[str, Any]) -> None:
        content["algorithm"] = "moon"

    assert len(repeated([committed("feddyn"), edited(renamed, committed("feddyn"))])) == 1


def test_fednova_with_equal_steps_may_equal_fedavg() -> None:
    ours, plain = committed("fednova"), committed()
    assert ours.result_sha256 == plain.result_sha256
    assert repeated([plain, ours]) == []

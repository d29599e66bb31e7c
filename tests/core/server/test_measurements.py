"""What records of protocol 2 hold beside accuracy, counted by hand, and that those of protocol 1 hold none of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from algorithms.central import Central
from algorithms.fedavg import FedAvg
from algorithms.fedmd import FedMD
from algorithms.fedsimclr import FedSimCLR
from algorithms.local import LocalOnly
from benchmark.core.api import Algorithm, Hub, Key, Phase, Tree, Upload, torch
from benchmark.core.backends import WorkerConfig
from benchmark.core.backends.stacked import StackedBackend
from benchmark.core.server.rounds import Run
from benchmark.core.tasks.task import ProbeSpec
from benchmark.records.record import Result
from helpers.small_federation import run, small_federation

DRIFT = {"gradient_diversity", "weight_divergence"}


def measured(algorithm: Algorithm, **options: Any) -> dict[str, Any]:
    """The result of a small run under protocol 2."""
    fields: dict[str, Any] = {"protocol": 2, "algorithm": algorithm, **options}
    return run(algorithm, small_federation(**fields)).result


def test_protocol_1_records_what_it_always_did() -> None:
    result = run(FedAvg(), small_federation(public=4)).result
    assert "budget" not in result and "delivery" not in result["bytes"]
    assert set(result["evaluations"][0]) == {"round", "accuracy", "per_class", "bytes", "forgetting"}


def test_a_record_takes_what_protocol_2_measures_and_leaves_out_what_it_does_not() -> None:
    for algorithm in (FedAvg(), LocalOnly()):
        result = measured(algorithm)
        dumped = Result.model_validate(result).model_dump(mode="json")
        assert dumped["evaluations"] == result["evaluations"] and dumped["budget"] == result["budget"]
        for entry in result["evaluations"]:
            assert entry["nll"] > 0 and 0 <= entry["ece"] <= 1
            assert entry.keys() >= DRIFT if isinstance(algorithm, FedAvg) else not DRIFT & entry.keys()


def test_the_first_round_s_drift_by_hand() -> None:
    # One step of SGD from the common start moves client k by the rate 0.1 times its gradient: with one batch of all
    # its 8 images the change is what the client uploads minus what it got, whatever network computes it.
    federation = small_federation(protocol=2, rounds=1, batch=8, cohort=4, algorithm=FedAvg())
    sent: list[Sequence[Upload]] = []

    @dataclass(frozen=True)
    class Noted(FedAvg):
        def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
            sent.append(uploads)
            return super().aggregate(server, uploads, phase, hub, key)

    (entry,) = run(Noted(), federation).result["evaluations"]
    start = federation.hub.models["mlp"].init(federation.key("server")("model", "mlp"))
    changes = [torch.cat([(up.message["model"][n] - leaf).flatten() for n, leaf in start.items()]) for up in sent[0]]
    norms = [float(change.double().norm()) for change in changes]
    mean = torch.stack(changes).double().mean(0)
    assert entry["weight_divergence"] == pytest.approx(sum(norms) / 4, rel=1e-5)
    expected = sum(norm**2 for norm in norms) / 4 / float(mean @ mean)
    assert entry["gradient_diversity"] == pytest.approx(expected, rel=1e-4) and expected > 1


def test_the_budget_of_fedavg_by_hand() -> None:
    # 3 rounds of 2 clients with 8 images each in batches of 4.
    assert measured(FedAvg())["budget"] == [{
        "phase": "train", "rounds": 3, "visits": 6, "steps": 12, "most_steps": 2, "images": {"private": 48},
        "most_images": 8, "server": {},
    }]  # fmt: skip
    uneven = measured(FedAvg(), sizes=(8, 3, 4, 8), cohort=4, rounds=1)["budget"][0]
    assert (uneven["steps"], uneven["most_steps"], uneven["images"]) == (2 + 1 + 1 + 2, 2, {"private": 23})


def test_the_budget_of_fedmd_and_the_delivery_of_its_images_by_hand() -> None:
    # Transfer, 4 clients: 2 epochs of 12 public images in batches of 6 are 4 steps, 3 epochs of 8 private ones in
    # batches of 4 are 6, and a look at 6 images takes none. Then 6 visits: 6 digested in batches of 3 (2 steps), 8
    # private ones (2 steps), a look at 6.
    method = FedMD(
        draw=6, public_epochs=2, public_batch=6, private_epochs=3, private_batch=4, digest_epochs=1, digest_batch=3
    )
    result = measured(method, public=12)
    assert result["budget"] == [
        {"phase": "transfer", "rounds": 1, "visits": 4, "steps": 40, "most_steps": 10,
         "images": {"public": 4 * 30, "private": 4 * 24}, "most_images": 54, "server": {}},
        {"phase": "collaborate", "rounds": 3, "visits": 6, "steps": 24, "most_steps": 4,
         "images": {"public": 6 * 12, "private": 6 * 8}, "most_images": 20, "server": {}},
    ]  # fmt: skip
    assert result["bytes"]["delivery"] == 4 * 12 * 16 * 4  # 12 images of 16 pixels, here of 4 bytes, to each client


def test_nobody_who_is_fed_no_public_image_is_sent_any() -> None:
    assert measured(FedAvg(), public=12)["bytes"]["delivery"] == 0
    assert measured(FedAvg())["bytes"]["delivery"] == 0


@dataclass(frozen=True)
class Reader(FedAvg):
    """A server that reads images."""

    def init_server(self, hub: Hub, key: Key) -> Tree:
        assert hub.public is not None
        hub.public.inputs(torch.arange(2))
        return super().init_server(hub, key)

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        assert hub.public is not None and hub.validation is not None and hub.unlabelled is not None
        hub.validation.inputs()
        list(hub.unlabelled.batches(key, 4, 3))
        hub.public.inputs(torch.arange(5))
        return super().aggregate(server, uploads, phase, hub, key)


def test_what_the_server_reads_is_counted_apart_from_what_clients_are_fed() -> None:
    result = measured(Reader(), public=8, validation=6)
    (phase,) = result["budget"]
    assert phase["server"] == {"public": 2 + 3 * 5, "unlabelled": 3 * 12, "validation": 3 * 6}
    assert phase["images"] == {"private": 48} and result["bytes"]["delivery"] == 0


def test_views_count_each() -> None:
    # 12 images, batches of 8: 3 steps of 4 anchors seen twice and 4 other images.
    probe = ProbeSpec(epochs=1, labelled=())
    options: dict[str, Any] = {"sizes": (12, 12), "batch": 8, "track": "unsupervised", "probe": probe, "rounds": 1}
    result = measured(FedSimCLR(), **options)
    (phase,) = result["budget"]
    assert (phase["steps"], phase["most_images"], phase["images"]) == (6, 36, {"private": 72})
    assert result["evaluations"][0]["nll"] > 0 and result["evaluations"][0].keys() >= DRIFT


def test_pooled_training_is_fed_everyone_s_images() -> None:
    # 4 clients of 8 images, cohorts of 2: half of the 32 images a round, in batches of 4.
    (phase,) = measured(Central())["budget"]
    assert (phase["visits"], phase["steps"], phase["images"]) == (3, 12, {"private": 48})


def test_a_stack_counts_as_the_loop_does(tmp_path: Any) -> None:
    method = FedMD(draw=6, public_epochs=1, private_epochs=2, private_batch=4, digest_batch=3)
    for algorithm in (FedAvg(), method):
        fields: dict[str, Any] = {"sizes": (8, 3, 6, 8), "cohort": 3, "public": 12, "protocol": 2}
        loop = run(algorithm, small_federation(**fields)).result
        federation = small_federation(**fields)
        backend = StackedBackend(WorkerConfig(lambda _, it=federation: it, lambda it=algorithm: it))  # type: ignore[misc]
        stack = Run(federation, algorithm, backend, tmp_path / str(type(algorithm)), "small").execute()
        assert stack["budget"] == loop["budget"]
        for one, two in zip(stack["evaluations"], loop["evaluations"], strict=True):
            assert one.keys() == two.keys()
            for name in DRIFT & one.keys() | {"nll"}:
                assert one[name] == pytest.approx(two[name], rel=1e-3)

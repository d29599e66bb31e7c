"""Rounds: who takes part, what is averaged, what is remembered, what is counted, and when models are judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from algorithms.fedavg import FedAvg
from algorithms.local import LocalOnly
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Hub, Key, Local, Pass, Phase, Site, Tree, Upload, Who, torch
from benchmark.core.backends import EvaluateJob, Job, Results, SerialBackend, WorkerConfig
from benchmark.core.server.rounds import Run
from benchmark.core.storage import serialization
from helpers.full_run import start, worker_config
from helpers.small_federation import run, small_federation


@dataclass(frozen=True)
class Diary(Algorithm):
    """FedAvg whose server writes down who took part."""

    opening: int = 0

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        return Phase("open", self.opening, everyone=True), Phase("train", rounds)

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        page = {f"{phase.name} {len(server)}": torch.tensor([upload.who.id for upload in uploads])}
        return {**super().aggregate(server, uploads, phase, hub, key), **page}


def test_cohorts_are_the_same_for_every_method_and_in_client_order() -> None:
    federation = small_federation(sizes=(4,) * 8, cohort=3, rounds=4)
    expected = [federation.cohort(round_) for round_ in range(4)]
    for opening in (0, 1, 2):
        for reverse in (False, True):
            diary = run(Diary(opening), federation, reverse=reverse).server
            pages = [diary[name].tolist() for name in diary if name != "models"]
            assert pages == [list(range(8))] * opening + expected
    assert len({tuple(cohort) for cohort in expected}) > 1


def test_the_new_model_is_the_mean_by_size() -> None:
    federation = small_federation(sizes=(4, 12), rounds=1)
    left = run(Keeper(), federation)
    models = [left.memories[client]["model"] for client in (0, 1)]
    for name, leaf in left.server["models"]["mlp"].items():
        exact = (models[0][name].double() * 4 + models[1][name].double() * 12) / 16
        assert (leaf.double() - exact).abs().max() <= exact.abs().max() * 2**-24  # rounded once


@dataclass(frozen=True)
class Keeper(Algorithm):
    """FedAvg whose clients remember what they sent; `moody` ones forget it every second time."""

    moody: bool = False

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"new": torch.tensor(1)}

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        memory: Tree = {} if self.moody and client else {"model": local.params}
        return memory, {"model": local.params}


def test_a_client_may_empty_its_memory_and_is_not_born_again() -> None:
    federation = small_federation(sizes=(4,), cohort=1, rounds=1)
    assert run(Keeper(moody=True), federation).memories == {0: {}}
    again = run(Keeper(moody=True), small_federation(sizes=(4,), cohort=1, rounds=2)).memories
    assert set(again[0]) == {"model"}  # round 2 began with {}, not with the memory of a newcomer


def test_bytes_by_hand() -> None:
    # mlp on 4 x 4 pixels and 3 classes: 16 * 64 + 64 + 64 * 3 + 3 = 1283 parameters of 4 bytes; 3 rounds of 2 clients
    result = run(FedAvg(), small_federation()).result
    assert result["bytes"]["up"] == result["bytes"]["down"] == 1283 * 4 * 2 * 3
    assert result["bytes"]["by_name"] == [["train", "down", "model", 30792], ["train", "up", "model", 30792]]
    assert 30792 < result["bytes"]["up_wire"] < 30792 + 6 * 500
    assert [entry["bytes"] for entry in result["evaluations"]] == [2 * 10264, 4 * 10264, 6 * 10264]


def test_silence_costs_nothing() -> None:
    result = run(LocalOnly(), small_federation()).result
    assert result["bytes"] == {"up": 0, "down": 0, "up_wire": 0, "down_wire": 0, "by_name": []}


@dataclass(frozen=True)
class Whisper(Algorithm):
    """Says nothing to client 0, an empty message to client 1, a number to the others."""

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        number = {"number": torch.tensor(1)}
        return number if who.id > 1 else {} if who.id else None

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        expected = [None, [], ["number"], ["number"]][site.who.id]
        assert message is None if expected is None else message is not None and list(message) == expected
        return Local(site.model.init(Key(0)))

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {}, None if site.who.id == 3 else {}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        assert [upload.who.id for upload in uploads] == [0, 1, 2]
        return server


def test_nothing_and_an_empty_message_are_told_apart() -> None:
    result = run(Whisper(), small_federation(cohort=4, rounds=1)).result
    assert (result["bytes"]["down"], result["bytes"]["up"]) == (16, 0)
    assert [entry["bytes"] for entry in result["evaluations"]] == [16]
    number, empty = (serialization.encode(message, "test").wire for message in ({"number": torch.tensor(1)}, {}))
    assert (result["bytes"]["down_wire"], result["bytes"]["up_wire"]) == (empty + 2 * number, 3 * empty)


@pytest.mark.parametrize(("every", "rounds"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (3, [3, 5]), (9, [5])])
def test_models_are_judged_every_so_often_and_at_the_end(every: int, rounds: list[int]) -> None:
    result = run(FedAvg(), small_federation(rounds=5, evaluate_every=every)).result
    assert [entry["round"] for entry in result["evaluations"]] == rounds


def test_the_last_rounds_may_all_be_judged() -> None:
    for last, rounds in ((1, [3, 6, 8]), (2, [3, 6, 7, 8]), (4, [3, 5, 6, 7, 8]), (99, [1, 2, 3, 4, 5, 6, 7, 8])):
        result = run(FedAvg(), small_federation(rounds=8, evaluate_every=3, evaluate_last=last)).result
        assert [entry["round"] for entry in result["evaluations"]] == rounds


def test_the_observer_hears_of_every_round(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    start(SerialBackend(worker_config()), tmp_path, events.append).execute()
    assert [event["round"] for event in events] == [1, 2, 3, 4]
    assert [event["phase"] for event in events] == ["meet", "train", "train", "train"]
    assert ["accuracy" in event for event in events] == [False, True, False, True]
    assert all(event["rounds"] == 4 for event in events)
    # cohorts are half of the clients that meet: 4 + 2 + 2 + 2 messages of equal size
    assert [event["bytes_down"] * 4 // events[0]["bytes_down"] for event in events] == [4, 6, 8, 10]
    assert json.dumps(events)


@dataclass(frozen=True)
class First(Algorithm):
    """Answers class 0 to every image and learns nothing."""

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return ()

    def init_server(self, hub: Hub, key: Key) -> Tree:
        model = trees.zeros(hub.models["mlp"].init(key))
        return {"models": {"mlp": {**model, "classifier.bias": torch.tensor([1.0, 0.0, 0.0])}}}


def test_in_and_out_local_accuracy_by_hand() -> None:
    # A = (1, 0, 0). Client 0 holds labels 0, 1, 2, 0: in = 1/2, out = (1 - 1/2) / 2 = 1/4. Client 1 holds 1, 2: in = 0,
    # out = (1 - 0) / 2 = 1/2. Means over both: 1/4 and 3/8.
    result = run(First(), small_federation(sizes=(4, 2), rounds=2)).result
    assert (result["in_local"], result["out_local"], result["accuracy"]) == (0.25, 0.375, round(1 / 3, 6))


def test_in_and_out_local_accuracy_are_means_over_the_last_cohort() -> None:
    result = run(FedAvg(), small_federation()).result
    assert 0 <= result["in_local"] <= 1 and 0 <= result["out_local"] <= 1
    later = run(FedAvg(), small_federation(evaluate_every=3)).result
    assert (later["in_local"], later["out_local"]) == (result["in_local"], result["out_local"])


@dataclass(frozen=True)
class Post(Diary):
    """Sends one and the same tensor under a name that depends on the client, or a fresh one with the client's number.

    A client fails that hears what was meant for another.
    """

    fresh: bool = False

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        same = server["models"]["mlp"]["classifier.bias"]
        return {"model": server["models"]["mlp"], f"for {who.id % 2}": torch.tensor(who.id) if self.fresh else same}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None and set(message) == {"model", f"for {site.who.id % 2}"}
        assert not self.fresh or message[f"for {site.who.id % 2}"].item() == site.who.id
        return super().begin(client, message, phase, site)


@pytest.mark.parametrize(("fresh", "size"), [(False, 3 * 4), (True, 8)])  # three biases, or an int64
def test_every_client_hears_what_was_meant_for_it(fresh: bool, size: int) -> None:
    sent = run(Post(fresh=fresh), small_federation(cohort=4, rounds=1)).communication.payload
    assert (sent["train", "down", "for 0"], sent["train", "down", "for 1"]) == (2 * size, 2 * size)


@dataclass(frozen=True)
class Lottery(Diary):
    """Draws for every download by its key, and without one when it aggregates; the server writes both down."""

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return {"model": server["models"]["mlp"], "ticket": torch.rand(1, generator=key.torch())}

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        assert message is not None
        return {}, {"model": local.params, "ticket": message["ticket"]}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        tickets = torch.cat([upload.message["ticket"] for upload in uploads])
        pages = {f"tickets {len(server)}": tickets, f"noise {len(server)}": torch.rand(3)}
        return {**super().aggregate(server, uploads, phase, hub, key), **pages}


def test_what_a_round_draws_has_its_own_key_and_not_a_client_s() -> None:
    federation = small_federation(rounds=2)
    servers = [run(Lottery(opening=1), federation, reverse=reverse).server for reverse in (False, True)]
    noise = [[leaf.tolist() for name, leaf in one.items() if name.startswith("noise")] for one in servers]
    assert noise[0] == noise[1] and len({tuple(page) for page in noise[0]}) == 3
    tickets = [leaf.tolist() for name, leaf in servers[0].items() if name.startswith("tickets")]
    keys = [federation.key("phase", *names, "download") for names in (("open", "round", 0), ("train", "round", 0),
                                                                      ("train", "round", 1))]  # fmt: skip
    drawn = [torch.rand(1, generator=key.torch()).item() for key in keys]
    assert tickets == [[drawn[0]] * 4, [drawn[1]] * 2, [drawn[2]] * 2]


@dataclass(frozen=True)
class RemoteAlgorithm(First):
    """The model of the server is as above, whether or not it is said to be common; a client's answers its number."""

    common: bool = True

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        return super().global_model(server, arch) if self.common else None

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        return {**server["models"]["mlp"], "classifier.bias": torch.eye(3)[who.id]}


@pytest.mark.parametrize(
    ("track", "common", "judged"),
    [("global", True, "common"), ("global", False, "clients"), ("heterogeneous", True, "clients"),
     ("personal", True, "clients")],
)  # fmt: skip
def test_track_and_method_say_whose_models_are_judged(track: str, common: bool, judged: str, tmp_path: Path) -> None:
    # the common model knows class 0 alone; of two clients' models one knows class 0 and one class 1
    federation, method = small_federation(sizes=(4, 2), rounds=1, track=track), RemoteAlgorithm(common)
    scores = [1, 0, 0] if judged == "common" else [0.5, 0.5, 0]
    course = Run(
        federation, method, SerialBackend(WorkerConfig(lambda _: federation, lambda: method)), tmp_path, "apart"
    )
    assert course.execute()["evaluations"][-1]["per_class"] == scores and course.evaluated_models == judged


@dataclass(frozen=True)
class Idle(LocalOnly):
    """Its clients stay as they were born."""

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return ()


def test_a_client_that_has_not_come_yet_is_judged_as_it_will_be_born() -> None:
    some, everyone = (run(Idle(), small_federation(cohort=cohort, rounds=1)) for cohort in (1, 4))
    assert (len(some.memories), len(everyone.memories)) == (1, 4)
    assert some.result["evaluations"] == everyone.result["evaluations"]


class CountingBackend(SerialBackend):
    """Records how many models it is given to evaluate."""

    def __init__(self, setting: WorkerConfig) -> None:
        super().__init__(setting)
        self.evaluated: list[int] = []

    def submit(self, jobs: Sequence[Job]) -> Results:
        if models := {job.model for job in jobs if isinstance(job, EvaluateJob)}:
            self.evaluated.append(len(models))
        return super().submit(jobs)


def test_a_model_that_stays_the_same_is_not_judged_again(tmp_path: Path) -> None:
    # One client of three learns per round: the first evaluation meets three models, later ones that client's alone.
    federation = small_federation(sizes=(8, 8, 8), cohort=1, rounds=3, evaluate_every=1)
    backend = CountingBackend(WorkerConfig(lambda _: federation, LocalOnly))
    long = Run(federation, LocalOnly(), backend, tmp_path, "local").execute()["evaluations"]
    assert backend.evaluated == [3, 1, 1]
    for rounds in (1, 2):  # a run that ends there judges every model for the first time
        short = run(LocalOnly(), small_federation(sizes=(8, 8, 8), cohort=1, rounds=rounds, evaluate_every=9)).result
        assert short["evaluations"][-1]["per_class"] == long[rounds - 1]["per_class"]

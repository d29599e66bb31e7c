"""Failures of methods: one sentence with its place, told apart from divergence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from algorithms.fedavg import FedAvg
from benchmark.core import tree
from benchmark.core.api import Algorithm, Hub, Key, Local, Phase, Site, Tree, Upload, Who, torch
from benchmark.core.client.federation import Federation
from benchmark.core.errors import BenchmarkError, Diverged
from helpers.small_federation import run, small_federation


@dataclass(frozen=True)
class Faulty(Algorithm):
    """Fails where it is told to."""

    where: str = ""

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        twins, nothing = (Phase("a", 1), Phase("a", 1)), (Phase("a", 0),)
        return {"twins": twins, "nothing": nothing}.get(self.where) or super().phases(rounds)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        server = super().init_server(hub, key)
        return {**server, "round": 0} if self.where == "init_server" else server

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"a": {}["b"]} if self.where == "init_client" else {}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return {"model": server["nothing"]} if self.where == "download" else super().download(server, who, phase, key)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        memory = {
            "memory": {"list": [1]}, "bad memory": {"x": torch.tensor(float("nan"))},
            "upload": {},
        }.get(self.where, {})  # fmt: skip
        extra = {"x": torch.tensor(float("inf") if self.where == "upload" and site.who.id > 1 else 0.0)}
        return memory, {"model": local.params, **extra}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        match self.where:
            case "aggregate":
                raise RuntimeError("no idea")
            case "shape":
                sent = [upload.message["model"]["classifier.bias"] for upload in uploads]
                return {"x": tree.mean([{"b": sent[0]}, {"b": sent[1][:1]}])}
            case "bad server":
                return {"models": tree.scale(server["models"], float("inf"))}
            case "server":
                return {**server, "names": {"of": ["a"]}}
        return super().aggregate(server, uploads, phase, hub, key)

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        return {"nonsense": torch.zeros(1)} if self.where == "global_model" else super().global_model(server, arch)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("init_server", "server memory after init_server: round is a int, not a tensor"),
        ("init_client", r"phase train, round 1, client \d: KeyError: 'b' \(test_method_failures.py, line \d+\)"),
        ("download", r"download in phase train, round 1, client \d: KeyError: 'nothing'"),
        ("memory", r"memory in phase train, round 1, client \d: list is a list, not a tensor"),
        ("aggregate", r"aggregate in phase train, round 1: RuntimeError: no idea \(test_method_failures"),
        ("shape", r"aggregate in phase train, round 1: ValueError: shapes differ: \(3,\), \(1,\)"),
        ("server", "server memory after aggregate in phase train, round 1: names/of is a list"),
        ("global_model", "evaluation after round 1: .*parameters of mlp are missing: classifier.bias, "),
        ("twins", "phases: equal names among a, a"),
        ("nothing", "phases: there is no round in them"),
    ],
)
def test_a_method_s_mistake_is_a_sentence_with_its_place(where: str, words: str) -> None:
    with pytest.raises(BenchmarkError, match=words) as caught:
        run(Faulty(where), small_federation())
    assert not caught.value.user and not isinstance(caught.value, Diverged)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("upload", "phase train, round 1, client {late}: upload x is not finite"),
        ("bad memory", "phase train, round 1, client {first}: memory x is not finite"),
        ("bad server", "aggregate in phase train, round 1: server memory models/mlp/"),
    ],
)
def test_divergence_is_told_with_round_and_client(where: str, words: str) -> None:
    federation = small_federation(cohort=3)
    cohort = federation.cohort(0)
    place = words.format(first=cohort[0], late=next(client for client in cohort if client > 1))
    with pytest.raises(Diverged, match=place):
        run(Faulty(where), federation)


class Loud(FedAvg):
    """Judges a model whose finite weights give answers that are not: 1e38 times what goes in."""

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        return {name: torch.full_like(leaf, 1e38) for name, leaf in server["models"][arch].items()}


def test_a_model_whose_answers_are_not_finite_is_not_judged_by_its_first_class() -> None:
    with pytest.raises(Diverged, match="judging: a judged model's answers are not finite"):
        run(Loud(), small_federation())


def test_a_rate_that_is_far_too_large_diverges_and_does_not_end_in_a_number() -> None:
    with pytest.raises(Diverged, match=r"phase train, round \d, client \d"):
        run(FedAvg(), small_federation(lr=1e30, rounds=5, epochs=5))


def test_a_failure_is_the_method_s_only_if_its_file_had_a_hand_in_it() -> None:
    with pytest.raises(BenchmarkError, match=r"no idea \(test_method_failures.py, line .*; fix test_method_f"):
        run(Faulty("aggregate"), small_federation())
    one = small_federation()
    labels = np.full_like(one.data.private.labels, 9)  # of three classes: the loss, which is the engine's, fails
    broken = replace(one.data, private=one.data.private.__class__(one.data.private.images, labels, np.arange(32)))
    with pytest.raises(BenchmarkError, match="no method raised this; --debug shows the traceback"):
        run(Algorithm(), Federation(one.task, 0, broken))

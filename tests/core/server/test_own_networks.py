"""Methods with several networks or an inference of their own: what is trained, sent, judged and recorded."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from algorithms.fedavg import FedAvg
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Hub, Key, Local, Net, Pass, Phase, Site, Tensor, Tree, Who
from benchmark.core.errors import BenchmarkError
from benchmark.records.networks import Networks
from helpers.small_federation import run, small_federation

OWN, SHARED = 16 * 256 + 256 + 256 * 3 + 3, 16 * 64 + 64 + 64 * 3 + 3  # numbers of mlp_wide and mlp


@dataclass(frozen=True)
class Twins(Algorithm):
    """Two networks: the shared one is federated as FedAvg does, the other one stays as it was drawn."""

    def networks(self, arch: str) -> dict[str, str]:
        return {"own": "mlp_wide", "shared": arch}

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {"models": {arch: model["shared"].init(key("model", arch)) for arch, model in hub.models.items()}}

    def init_client(self, site: Site, key: Key) -> Tree:
        return {"own": site.model["own"].init(key)}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        return Local(client["own"] | message["model"])

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return (Pass(only="shared."),)

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        return super().loss(params, local, batch, model["shared"])

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        noise = torch.rand(1, generator=site.key("noise").torch())
        return {**client, "noise": noise}, {"model": trees.select(local.params, "shared.")}

    def predict(self, params: Tree, x: Tensor, model: Net) -> Tensor:
        logits: Tensor = model["shared"].frozen(params, x).logits
        return logits


def test_a_federated_one_of_two_networks_is_fedavg_s_to_the_bit() -> None:
    method = Twins()
    ours = run(method, small_federation(momentum=0.9, algorithm=method))
    plain = run(FedAvg(), small_federation(momentum=0.9))
    model = ours.server["models"]["mlp"]
    assert {n.removeprefix("shared."): leaf.tolist() for n, leaf in model.items()} == {
        name: leaf.tolist() for name, leaf in plain.server["models"]["mlp"].items()
    }
    assert ours.result["accuracy"] == plain.result["accuracy"]
    assert ours.result["bytes"]["down"] == plain.result["bytes"]["down"] == 2 * 3 * 4 * SHARED


def test_the_record_lists_the_networks_and_what_was_judged() -> None:
    method = Twins()
    said = run(method, small_federation(algorithm=method)).result["networks"]
    assert said["declared"] == [("mlp", "own", "mlp_wide", OWN), ("mlp", "shared", "mlp", SHARED)]
    assert (said["inference"], said["numbers"], said["task_numbers"]) == ("own", SHARED, SHARED)
    assert "networks" not in run(FedAvg(), small_federation()).result


def test_randomness_of_finish_is_the_client_s_and_the_round_s() -> None:
    method = Twins()
    one, two = (run(method, small_federation(algorithm=method, cohort=4), reverse=r) for r in (False, True))
    noises = [memory["noise"].item() for memory in one.memories.values()]
    assert len(set(noises)) == 4 and noises == [memory["noise"].item() for memory in two.memories.values()]


@dataclass(frozen=True)
class Ensemble(FedAvg):
    """FedAvg that is judged as twice its network."""

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        return {"one": server["models"][arch], "two": server["models"][arch]}

    def predict(self, params: Tree, x: Tensor, model: Net) -> Tensor:
        return torch.stack([model.frozen(member, x).logits for member in params.values()]).mean(0)


def test_an_inference_of_one_s_own_is_judged_and_stands_apart_if_it_is_larger() -> None:
    """Twice the same network answers as the network, with twice the numbers: more than 1.5 times stands apart."""
    ours, plain = run(Ensemble(), small_federation()), run(FedAvg(), small_federation())
    assert ours.result["accuracy"] == plain.result["accuracy"]
    said = Networks.model_validate(ours.result["networks"])
    assert said.apart == f"judged with {2 * SHARED:,} numbers, not {SHARED:,}"
    assert Networks(declared=[], inference="own", numbers=15, task_numbers=10).apart == ""


@dataclass(frozen=True)
class Fat(FedAvg):
    """FedAvg with a larger network than the task's, undeclared."""

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {"models": {"mlp": hub.network("mlp_wide").init(key)}}


@dataclass(frozen=True)
class Switch(FedAvg):
    """FedAvg whose judged model alone is larger."""

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        return {**server["models"][arch], "classifier.weight": torch.zeros(3, 256)}


@pytest.mark.parametrize(("method", "what"), [(Fat(), "the model that client"), (Switch(), "the judged model")])
def test_a_network_that_is_not_declared_is_refused(method: Algorithm, what: str) -> None:
    with pytest.raises(BenchmarkError, match=rf"of {what}.* in mlp it has"):
        run(method, small_federation())


@dataclass(frozen=True)
class PowerOfChoice(FedAvg):
    """Clients with an even number get no rows to train on, though they are in the cohort."""

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return {"model": server["models"][who.arch], "rows": torch.arange(who.id % 2 * who.size)}

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return (Pass(rows="rows"),)

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        return Local(message["model"], context={"rows": message["rows"]})

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {"steps": torch.tensor(local.steps)}, {"model": local.params}


def test_a_message_chooses_who_trains() -> None:
    """8 images in batches of 4: two steps, or none."""
    outcome = run(PowerOfChoice(), small_federation(cohort=4, rounds=1))
    assert [outcome.memories[client]["steps"].item() for client in range(4)] == [0, 2, 0, 2]

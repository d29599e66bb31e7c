"""A client at work: the loop is the one a person would write, and nothing is changed that is not its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from benchmark.core import tree
from benchmark.core.api import Algorithm, Batch, Local, Net, Optim, Pass, Phase, Site, Tensor, Tree
from benchmark.core.client.federation import Federation
from benchmark.core.client.local_trainer import LocalTrainer
from benchmark.core.client.local_training import ClientUpdate, run_client
from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.keys import Key
from benchmark.core.tasks.task import Optimiser, Train
from helpers.small_federation import small_federation

PHASE, KEY = Phase("train", 1), Key(0)("visit")
ADAM = Optim("adam", lr=0.01)


def federation(**options: Any) -> Federation:
    """One client of ten samples: batches of four, four and two."""
    return small_federation(**{"sizes": (10,), "cohort": 1, "epochs": 2, "momentum": 0.9, **options})


def visited(algorithm: Algorithm, one: Federation, message: Tree | None = None, key: Key = KEY) -> ClientUpdate:
    site = one.site(0, PHASE, 0)
    sent = {"model": site.model.init(Key(1))} if message is None else message
    return run_client(algorithm, site, PHASE, sent, {}, key, "fp32")


@dataclass(frozen=True)
class Scenario(Algorithm):
    """FedAvg with passes to choose."""

    runs: tuple[Pass, ...] = (Pass(),)
    epochs: int = 3  # that a pass may have

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return self.runs

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        local = super().begin(client, message, phase, site)
        return local.having(context={"odd": torch.tensor([1, 3, 5, 7, 9])}, carry={"seen": torch.zeros(10)})

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        return local.having(carry={"seen": local.carry["seen"].index_add(0, batch.rows, torch.ones(len(batch.rows)))})

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {"seen": local.carry["seen"], "steps": torch.tensor(local.steps)}, {"model": local.params}


def test_a_visit_is_a_hand_written_loop() -> None:
    one = federation()
    site, start = one.site(0, PHASE, 0), one.model("mlp").init(Key(1))
    theirs = {name: torch.nn.Parameter(leaf.clone()) for name, leaf in start.items()}
    sgd = torch.optim.SGD(theirs.values(), lr=0.1, momentum=0.9)
    for epoch in range(2):
        order = torch.from_numpy(KEY("pass", 0, "epoch", epoch, "shuffle").permutation(10))
        for rows in (order[:4], order[4:8], order[8:]):
            logits = torch.func.functional_call(one.model("mlp").module, theirs, site.data.inputs(rows)).logits
            sgd.zero_grad()
            F.cross_entropy(logits, site.data.labels[rows]).backward()
            sgd.step()
    ours = visited(Algorithm(), one, {"model": start}).params
    for name, leaf in ours.items():
        assert (leaf - theirs[name].detach()).abs().max() < 1e-6
        assert not torch.equal(leaf, start[name])


def test_message_memory_and_context_stay_as_they_were() -> None:
    one = federation()
    message = {"model": one.model("mlp").init(Key(1))}
    copies = tree.copy(message)
    done = visited(Scenario(), one, message)
    assert all(torch.equal(message["model"][name], leaf) for name, leaf in copies["model"].items())
    shared = {leaf.data_ptr() for _, leaf in tree.walk(message)}
    assert not shared & {leaf.data_ptr() for _, leaf in tree.walk(done.params)}


def test_the_same_key_gives_the_same_bits_and_another_one_others() -> None:
    a, b, c = (visited(Algorithm(), federation(), key=key).params for key in (KEY, KEY, KEY("other")))
    assert all(torch.equal(a[name], b[name]) for name in a) and not all(torch.equal(a[name], c[name]) for name in a)


@pytest.mark.parametrize(
    ("run", "steps", "seen"),
    [
        (Pass(), 6, [2] * 10),  # two epochs of the task
        (Pass(epochs=3), 9, [3] * 10),
        (Pass(epochs=1, batch=10), 1, [1] * 10),
        (Pass(steps=3, epochs=7), 3, [1] * 10),  # steps win
        (Pass(rows="odd", epochs=2), 4, [2] * 5 + [0] * 5),  # positions count within the restricted stream
        (Pass(update=False), 0, [1] * 10),
        (Pass(stream="public", epochs=1), 2, [1] * 6 + [0] * 4),  # six public images in batches of four
    ],
    ids=str,
)
def test_how_long_a_pass_is(run: Pass, steps: int, seen: list[int]) -> None:
    done = visited(Scenario((run,)), federation(public=6))
    assert done.memory["steps"].item() == steps and done.memory["seen"].tolist() == seen


def test_a_task_may_count_steps() -> None:
    one = federation()
    one.train = replace(one.train, steps=5)
    assert visited(Scenario(), one).memory["steps"].item() == 5
    assert visited(Scenario((Pass(epochs=1),)), one).memory["steps"].item() == 3  # a pass that names epochs means them


def test_looking_changes_no_parameter_and_no_buffer() -> None:
    one = federation(networks=("resnet8",), shape=(1, 8, 8))
    message = {"model": one.model("resnet8").init(Key(1))}
    done = visited(Scenario((Pass(update=False),)), one, message)
    assert all(torch.equal(done.params[name], leaf) for name, leaf in message["model"].items())


def test_only_what_a_pass_names_trains() -> None:
    one = federation()
    message = {"model": one.model("mlp").init(Key(1))}
    done = visited(Scenario((Pass(only="classifier"),)), one, message)
    moved = {name for name, leaf in message["model"].items() if not torch.equal(done.params[name], leaf)}
    assert moved == {"classifier.weight", "classifier.bias"}


def test_a_pass_may_bring_its_own_optimiser() -> None:
    one = federation(epochs=1)
    start = one.model("mlp").init(Key(1))
    done = visited(Scenario((Pass(batch=10, optim=ADAM),)), one, {"model": start})
    # Adam's first step is lr * g / (|g| + eps): every weight with a gradient moves by its rate.
    gaps = torch.cat([(done.params[name] - leaf).abs().flatten() for name, leaf in start.items()])
    moved = gaps[gaps > 1e-4]
    assert len(moved) > 50 and (moved - 0.01).abs().max() < 1e-3


def test_running_statistics_move_and_a_batch_of_one_is_left_out() -> None:
    one = federation(sizes=(9,), networks=("resnet8",), shape=(1, 8, 8), epochs=1)
    message = {"model": one.model("resnet8").init(Key(1))}
    done = visited(Scenario(), one, message)
    buffers = one.model("resnet8").buffers
    assert all(not torch.equal(done.params[name], message["model"][name]) for name in buffers)
    assert done.memory["seen"].sum().item() == 8 and done.memory["steps"].item() == 2  # nine samples: 4 + 4


@dataclass(frozen=True)
class Broken(Algorithm):
    """Fails in a way of choice."""

    how: str = "nan"

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        loss, extras = super().loss(params, local, batch, model)
        return loss * float("nan") if self.how == "nan" and bool((batch.rows == 0).any()) else loss, extras

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        bad = torch.tensor(float("inf"))
        return {}, {"norm": bad} if self.how == "inf" else {"list": [1]}  # type: ignore[dict-item]


def test_a_loss_that_is_not_finite_ends_the_visit() -> None:
    # Row 0 stands in one of the three batches of the first epoch.
    order = KEY("pass", 0, "epoch", 0, "shuffle").permutation(10).tolist()
    with pytest.raises(Diverged, match=f"the loss is nan at step {order.index(0) // 4 + 1}"):
        visited(Broken(), federation())


def test_an_upload_that_is_not_finite_or_no_tensor_ends_the_visit() -> None:
    with pytest.raises(Diverged, match="phase train, client 0: upload norm is not finite"):
        visited(Broken("inf"), federation())
    with pytest.raises(BenchmarkError, match="list is a list, not a tensor"):
        visited(Broken("list"), federation())


def test_public_data_that_a_task_lacks_are_asked_for() -> None:
    with pytest.raises(BenchmarkError, match="the task has no public data; choose a task with `public:`"):
        visited(Scenario((Pass(stream="public"),)), federation())


@dataclass(frozen=True)
class Careless(Algorithm):
    """Draws without a key."""

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return {}, {"noise": torch.randn(3)}


def test_noise_without_a_key_does_not_depend_on_what_was_drawn_before() -> None:
    noise = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        upload = visited(Careless(), federation()).upload
        assert upload is not None
        noise.append(upload["noise"])
    assert torch.equal(*noise)


@dataclass(frozen=True)
class Witness(Scenario):
    """Writes down, step by step, what its loss meets."""

    rows: list[int] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    answers: list[Tensor] = field(default_factory=list)

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        self.rows.extend(batch.rows.tolist())
        self.seeds.append(torch.initial_seed())
        self.answers.append(model(params, batch.x).logits.detach())
        return super().loss(params, local, batch, model)


def test_every_pass_shuffles_by_its_own_key() -> None:
    witness = Witness((Pass(epochs=1), Pass(epochs=1)))
    visited(witness, federation())
    orders = [KEY("pass", number, "epoch", 0, "shuffle").permutation(10).tolist() for number in (0, 1)]
    assert witness.rows == orders[0] + orders[1] and orders[0] != orders[1]


def test_every_step_draws_its_own_dropout() -> None:
    witness = Witness((Pass(epochs=1), Pass(epochs=1)))
    visited(witness, federation(networks=("fedmd_0",), shape=(1, 8, 8)))
    assert witness.seeds == [KEY("pass", number, "dropout", step).seed for number in (0, 1) for step in range(3)]


@pytest.mark.parametrize("network", ["resnet8", "fedmd_0"])
def test_a_pass_that_only_looks_asks_in_evaluation_mode(network: str) -> None:
    witness, one = Witness((Pass(update=False),)), federation(networks=(network,), shape=(1, 8, 8))
    start, site = one.model(network).init(Key(1)), one.site(0, PHASE, 0)
    visited(witness, one, {"model": start})
    assert torch.equal(torch.cat(witness.answers), one.model(network).frozen(start, site.data.inputs()).logits)


@pytest.mark.parametrize("update", [True, False])
@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_pass_computes_in_the_precision_of_the_run(precision: str, kind: torch.dtype, update: bool) -> None:
    witness, one = Witness((Pass(update=update),)), federation()
    sent = {"model": one.model("mlp").init(Key(1))}
    done = run_client(witness, one.site(0, PHASE, 0), PHASE, sent, {}, KEY, precision)
    assert {answer.dtype for answer in witness.answers} == {kind} and {leaf.dtype for leaf in done.params.values()} == {
        torch.float32
    }


def test_dropout_is_keyed_by_step() -> None:
    one = federation(networks=("fedmd_0",), shape=(1, 8, 8))
    assert one.model("fedmd_0").random
    torch.manual_seed(1)
    first = visited(Algorithm(), one).params
    torch.manual_seed(2)
    again = visited(Algorithm(), one).params
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_views_are_half_a_batch_and_so_take_twice_the_steps() -> None:
    # ten samples in batches of four: two anchors each, five steps in each of two epochs
    one = federation()
    sweep = LocalTrainer(Algorithm(), one.site(0, PHASE, 0), Pass(stream="views"), KEY, "fp32", "here")
    assert len(list(sweep.batches(sweep.stream(Local({}))))) == 10


class Biased(Algorithm):
    """A loss with slope 1 in the biases of the classifier and none in anything else."""

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        return params["classifier.bias"].sum(), {}


def test_weight_decay_also_reaches_what_the_loss_does_not_use() -> None:
    # three steps of w - 0.5 (g + 0.5 w): (3/4)^3 w where g = 0; with g = 1, -1/2 (1 + 3/4 + 9/16) = -37/32 on top
    train = Train(batch=4, steps=3, optimiser=Optimiser(lr=0.5, weight_decay=0.5))
    one = federation(train=train)
    start = one.model("mlp").init(Key(1))
    for name, leaf in visited(Biased(), one, {"model": start}).params.items():
        torch.testing.assert_close(leaf, start[name] * 27 / 64 - 37 / 32 * (name == "classifier.bias"))

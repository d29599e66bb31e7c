"""The stacked backend does what the loop does: messages to the bit, numbers to rounding."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map

from benchmark.core import method_files, ops
from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Gradient, Local, Net, Phase, Site, Tensor, Update
from benchmark.core.backends import Backend, SerialBackend, WorkerConfig
from benchmark.core.backends.stacked import StackedBackend
from benchmark.core.backends.stacked_step import StackedStep, Step
from benchmark.core.client.federation import Federation
from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.keys import Key
from benchmark.core.server.rounds import Run
from benchmark.core.storage import checkpoint
from benchmark.core.tasks.task import Optimiser, ProbeSpec, Train, load
from benchmark.core.tree import Tree
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import run
from helpers.small_federation import small_federation

TOLERANCE = 1e-5
# Adam divides by the root of a gradient's square: where that is near zero, rounding becomes a whole step
ADAM_ON_SERVER = dict.fromkeys(
    (
        "feddf",
        "feddf_1bit",
        "feddf_gan",
        "fedbe",
        "fedgen",
        "fd_faug",
        "fl_faug",
        "fedet",
        "fedftg",
        "fedgkt",
        "dense",
        "co_boosting",
    ),
    1e-3,
)
SHORT = {
    "draw": 8,
    "epochs": 1,
    "public_epochs": 1,
    "private_epochs": 1,
    "steps": 3,
    "queue": 8,
    "gan_steps": 2,
    "generator_steps": 2,
    "student_steps": 2,
}
CPU = torch.device("cpu")
Make = Callable[[WorkerConfig], Backend]


def finished(algorithm: Algorithm, federation: Federation, folder: Path, make: Make) -> tuple[Run, Tree, Any]:
    """A run, everything that both sides remember after it, and its backend."""
    backend = make(WorkerConfig(lambda _: federation, lambda: algorithm, federation.task.precision))
    run_ = Run(federation, algorithm, backend, folder / make.__name__, "small")
    run_.result = run_.execute()  # type: ignore[attr-defined]
    files = {str(client): run_.memories.current(client) for client in range(federation.clients)}
    memories = {client: checkpoint.load(file)[0] or {} for client, file in files.items() if file}
    return run_, {"server": run_.server, "memories": memories}, backend


def gap(a: Tree, b: Tree) -> float:
    """Largest absolute difference of two trees of the same shape."""
    one, two = dict(trees.walk(a)), dict(trees.walk(b))
    assert [(p, x.shape, x.dtype) for p, x in one.items()] == [(p, x.shape, x.dtype) for p, x in two.items()]
    return max(float((x.double() - two[path].double()).abs().max()) for path, x in one.items() if x.numel())


class MetaDeviceStep(StackedStep):
    """Takes its first step on the device `meta` as well, which refuses tensors of the CPU as a GPU does."""

    been = False

    def __call__(self, *arguments: Any) -> Tree:
        if not self.been:
            self.been = True
            moved = super().__call__(*tree_map(lambda leaf: leaf.to("meta"), arguments))
            assert {leaf.device.type for _, leaf in trees.walk(moved)} == {"meta"}
        return super().__call__(*arguments)


class MetaDeviceBackend(StackedBackend):
    """Stacked, with such steps."""

    def _step(self, *arguments: Any) -> tuple[StackedStep, Step]:
        step, _ = super()._step(*arguments)
        step.__class__ = MetaDeviceStep
        return step, step


def compare(
    algorithm: Algorithm, federation: Federation, folder: Path, make: Make = StackedBackend
) -> tuple[float, StackedBackend]:
    """Difference between loop and stack after a run; counts of communication must be equal in any case."""
    loop, expected, _ = finished(algorithm, federation, folder, SerialBackend)
    stack, found, backend = finished(algorithm, federation, folder, make)
    assert stack.communication.to_json() == loop.communication.to_json()
    return gap(expected, found), backend


def federation_for(algorithm: Algorithm, **changes: Any) -> Federation:
    """Three of four uneven clients per round, with whatever the method needs."""
    track, optimiser = algorithm.track[0], Optimiser(lr=0.05, momentum=0.9, weight_decay=1e-3)
    fields: dict[str, Any] = {
        "sizes": (7, 5, 4, 6),
        "cohort": 3,
        "rounds": 2,
        "public": 12,
        "validation": 6,
        "algorithm": algorithm,
        "track": track,
        "train": Train(batch=4, optimiser=optimiser),
        "probe": ProbeSpec(epochs=1, labelled=()) if track == "unsupervised" else None,
    }
    return small_federation(**(fields | changes))


def looped(backend: StackedBackend) -> list[str]:
    reasons: dict[str, str] = backend.facts["stacked"]["looped"]
    return list(reasons.values())


@pytest.mark.parametrize("name", method_files.names())
def test_a_method_gives_what_it_gives_in_the_loop(name: str, tmp_path: Path) -> None:
    fields = {entry.name for entry in dataclasses.fields(method_files.load(method_files.find(name)))}
    algorithm = method_files.make(name, {field: value for field, value in SHORT.items() if field in fields})
    federation = federation_for(algorithm, rounds=1 if "unsupervised" in algorithm.track else 2)
    difference, backend = compare(algorithm, federation, tmp_path, MetaDeviceBackend)
    assert difference < ADAM_ON_SERVER.get(name, TOLERANCE)
    assert looped(backend) == []  # a method that cannot be stacked is welcome, but belongs into an exception here


@pytest.mark.parametrize(
    ("networks", "padded"), [(("resnet8",), {False}), (("resnet8_gn", "golden"), {True}), (("cnn_lite",), {True})]
)
def test_batchnorm_never_sees_padding_and_other_networks_do(
    networks: tuple[str, ...], padded: set[bool], tmp_path: Path
) -> None:
    algorithm = method_files.make("fedavg")
    federation = federation_for(algorithm, networks=networks, shape=(1, 8, 8))
    difference, backend = compare(algorithm, federation, tmp_path)
    assert difference < TOLERANCE and looped(backend) == []
    assert {flag for support in backend.support.values() for flag in support.padded} == padded


def test_dropout_is_drawn_as_in_the_loop_by_the_loop(tmp_path: Path) -> None:
    algorithm = method_files.make("fedavg")
    federation = federation_for(algorithm, networks=("fedmd_0",), shape=(1, 8, 8), rounds=1)
    difference, backend = compare(algorithm, federation, tmp_path)
    assert difference == 0.0
    assert looped(backend) == ["network fedmd_0 draws dropout from the generator of the process"]


class Asking(Algorithm):
    """Looks at the value of its loss."""

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        risk, extras = super().loss(params, local, batch, model)
        return risk * (2 if risk.detach().item() > 1 else 1), extras


class Growing(Algorithm):
    """Remembers more with every step."""

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        return super().begin(client, message, phase, site).having(carry={"seen": torch.zeros(1)})

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        return local.having(carry={"seen": torch.cat([local.carry["seen"], torch.ones(1)])})


class InPlace(Algorithm):
    """Changes its parameters by hand after the update."""

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        local.params["classifier.bias"].mul_(0.9)
        gradients, extras = gradient(local, batch)
        return update(local, gradients), extras


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Asking, "item()"), (Growing, "carry changes its shape"), (InPlace, "parameters change in place")],
)
def test_what_cannot_be_stacked_runs_in_the_loop_and_says_why(
    kind: type[Algorithm], reason: str, tmp_path: Path
) -> None:
    difference, backend = compare(kind(), federation_for(kind()), tmp_path)
    assert difference == 0.0 and reason in looped(backend)[0]


class Unmasked(Algorithm):
    """A mean over all rows, whether or not they are samples; two gradients per step."""

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        return ops.cross_entropy(model(params, batch.x).logits, batch.y), {}

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        ahead, _ = gradient(local, batch)
        gradients, extras = gradient(local.having(params=trees.add(local.params, ahead, -0.05)), batch)
        return update(local, gradients), extras


def test_a_loss_that_ignores_masks_is_not_given_any(tmp_path: Path) -> None:
    difference, backend = compare(Unmasked(), federation_for(Unmasked()), tmp_path)
    assert difference < TOLERANCE and looped(backend) == []
    assert [support.padded for support in backend.support.values()] == [(False,)]


def test_a_cosine_over_two_rounds_is_a_rate_that_halves_in_loop_and_stack(tmp_path: Path) -> None:
    # (1 + cos(t pi / 2)) / 2 is 1 in the first round and 1/2 in the second.
    ends = []
    for number, settings in enumerate(({"schedule": "cosine"}, {"decay": 0.5}, {})):
        train = Train(batch=4, optimiser=Optimiser(lr=0.05, **settings))
        federation, folder = federation_for(Algorithm(), train=train), tmp_path / str(number)
        ends.append([finished(Algorithm(), federation, folder, make)[1] for make in (SerialBackend, StackedBackend)])
    cosine, halved, constant = ends
    assert gap(*cosine) < TOLERANCE and gap(cosine[0], halved[0]) < TOLERANCE < gap(cosine[0], constant[0])


def test_a_loss_that_explodes_is_reported_in_the_words_of_the_loop(tmp_path: Path) -> None:
    federation = federation_for(Algorithm(), cohort=1, train=Train(epochs=40, batch=4, optimiser=Optimiser(lr=1e20)))
    words = []
    for make in (SerialBackend, StackedBackend):
        with pytest.raises(Diverged) as caught:
            finished(Algorithm(), federation, tmp_path, make)
        words.append(str(caught.value))
    assert words[0] == words[1] and "at step" in words[0]


def test_chunks_of_any_size_and_bf16_agree_with_the_loop(tmp_path: Path) -> None:
    for precision, allowed in (("fp32", TOLERANCE), ("bf16", 2e-2)):  # bf16 has 8 bits: 0.4 % of values around 1
        federation = federation_for(Algorithm(), cohort=4, sizes=(7, 5, 4, 6, 9), precision=precision, rounds=1)
        _, expected, _ = finished(Algorithm(), federation, tmp_path / precision, SerialBackend)
        for size in (1, 3, 4, 7) if precision == "fp32" else (4,):

            def chunks(setting: WorkerConfig, size: int = size) -> StackedBackend:
                backend = StackedBackend(setting)
                backend.chunk = size
                return backend

            _, found, _ = finished(Algorithm(), federation, tmp_path / precision / str(size), chunks)
            assert 0 < gap(expected, found) < allowed


def test_a_client_s_bits_do_not_depend_on_who_shares_its_chunk(tmp_path: Path) -> None:
    def upload(clients: list[int]) -> bytes:
        federation = small_federation(sizes=(8, 8, 8, 8), cohort=4)
        federation.data = dataclasses.replace(federation.data, cohorts=np.array([clients]))
        algorithm = Algorithm()
        backend = StackedBackend(WorkerConfig(lambda _: federation, lambda: algorithm))
        run_ = Run(federation, algorithm, backend, tmp_path, "small")
        run_.server = algorithm.init_server(federation.hub, Key(0))
        jobs = run_._client_jobs(clients, run_.phases[0], 0, 1)
        return backend.map(jobs)[clients.index(1)].upload.data

    assert upload([0, 1]) == upload([1, 2, 3]) == upload([3, 1])


def test_devices_and_graphs_that_are_not_there_are_refused_in_words() -> None:
    setting = WorkerConfig(lambda _: small_federation(), Algorithm)
    with pytest.raises(BenchmarkError, match="device nowhere cannot be used"):
        StackedBackend(setting, "nowhere")
    with pytest.raises(BenchmarkError, match="knows no CUDA graphs"):
        StackedBackend(setting, "cpu", graphs=True)
    with pytest.raises(BenchmarkError, match="add --backend stacked"):
        Cell("digits-shards", "fedavg", device="cuda").prepare()


def test_a_record_says_that_it_was_stacked_and_how(tmp_path: Path) -> None:
    found = run(Cell("digits-shards", "fedavg", rounds=1, backend="stacked"), tmp_path)
    beside = json.loads((tmp_path / "digits-shards" / "fedavg" / "0.run.json").read_text())
    assert found.backend == "stacked" and found.status == "ok"
    task = load("digits-shards")  # of one network: the whole cohort is a chunk
    assert beside["stacked"] == {"chunk": task.cohort, "graphs": False, "looped": {}}
    assert beside["command"].endswith("--backend stacked --device cpu")

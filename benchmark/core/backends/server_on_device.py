"""The server's work on a device: networks and images lie there, teachers of an ensemble answer in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Hub, Key, Phase, Upload
from benchmark.core.backends.device_mode import JoinDevice
from benchmark.core.backends.stacked_batches import on_device
from benchmark.core.data.batches import Stream
from benchmark.core.model_output import Output
from benchmark.core.models.functional import Input, Model
from benchmark.core.tree import Tree

SIDES = ("public", "unlabelled", "validation")
ENSEMBLE = 2  # teachers from which on the others answer in one call


class ServerOnDevice:
    """Runs `aggregate` on a device.

    Args:
        hub: What the server sees.
        device: The device.
    """

    def __init__(self, hub: Hub, device: torch.device) -> None:
        self.origin, self.device, self.teachers = hub, device, _Teachers()
        models = {arch: DeviceModel(model, device, self.teachers) for arch, model in hub.models.items()}  # type: ignore[arg-type]
        network = cache(lambda name: DeviceModel(hub.network(name), device, self.teachers))  # type: ignore[arg-type]
        sides: dict[str, Any] = {
            side: on_device(stream, stream.pixels.to(device))
            for side in SIDES
            if isinstance(stream := getattr(hub, side), Stream)
        }
        self.hub = replace(hub, models=models, network=network, **sides)

    def aggregate(self, algorithm: Algorithm, server: Tree, uploads: Sequence[Upload], phase: Phase, key: Key) -> Tree:
        """The server's new memory, on the CPU, after a round that the device computed."""
        placed = [Upload(upload.who, self.place(upload.message)) for upload in uploads]
        self.teachers.know([upload.message for upload in placed])
        with JoinDevice(self.device):
            after = algorithm.aggregate(self.place(server), placed, phase, self.hub, key)
        self.teachers.know(())
        self._count_images()
        return trees.map(Tensor.cpu, after)

    def _count_images(self) -> None:
        """Images that were read on the device count on the streams of the hub that the run measures."""
        for side in SIDES:
            if (moved := getattr(self.hub, side)) is not getattr(self.origin, side):
                getattr(self.origin, side).images_read = moved.images_read

    def place(self, tree: Tree) -> Tree:
        """The tree with its real numbers on the device; whole ones, which name rows, labels and seeds, stay."""
        return trees.map(lambda leaf: leaf.to(self.device) if leaf.is_floating_point() else leaf, tree)


class DeviceModel:
    """A network whose calls compute on the device, whatever lies where; implements `api.Net`.

    One with dropout trains on the CPU, where its masks are drawn.
    """

    def __init__(self, model: Model, device: torch.device, teachers: _Teachers) -> None:
        self.model, self.device, self.teachers = model, device, teachers
        self.arch, self.buffers, self.weights = model.arch, model.buffers, model.weights

    def __getitem__(self, name: str) -> DeviceModel:
        """One of several named networks."""
        several: Any = self.model
        return DeviceModel(several[name], self.device, self.teachers)

    def init(self, key: Key) -> Tree:
        """The parameters that the CPU draws, on the device."""
        return self._placed(self.model.init(key))

    def __call__(self, params: Tree, x: Input) -> Output:
        """Training mode; the running statistics are dropped."""
        return self.train(params, x)[0]

    def train(self, params: Tree, x: Input) -> tuple[Output, Tree]:
        """Training mode; also returns the updated buffers."""
        if self.model.random:
            output, buffers = self.model.train(_on(torch.device("cpu"), params), _on(torch.device("cpu"), x))
            return _on(self.device, output), self._placed(buffers)
        return self.model.train(self._placed(params), _on(self.device, x))

    def frozen(self, params: Tree, x: Input) -> Output:
        """Evaluation mode without gradient."""
        if isinstance(x, Tensor) and (known := self.teachers.answer(self, params, x)) is not None:
            return known
        return self.model.frozen(self._placed(params), _on(self.device, x))

    def _placed(self, tree: Tree) -> Tree:
        return {name: leaf.to(self.device) for name, leaf in tree.items()}


class _Teachers:
    """The uploaded models of a round, which ensembles ask one by one about the same images.

    The first that is asked answers alone, since many are asked alone; when a second one is asked about the same images,
    all the others of its architecture answer in one call, and their answers wait until they are asked.
    """

    def __init__(self) -> None:
        self.know(())

    def know(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Remember which trees were uploaded together; forget those of the round before."""
        models = [message["model"] for message in messages if isinstance(message.get("model"), dict)]
        groups: dict[Any, list[Tree]] = {}
        for model in models:
            shapes = tuple((name, leaf.shape, leaf.dtype) for name, leaf in model.items())
            groups.setdefault(shapes, []).append(model)
        self.groups = [group for group in groups.values() if len(group) > ENSEMBLE]
        self.stacks: dict[int, Tree] = {}
        self.asked: tuple[Tensor, int] | None = None  # the images of the last question, and who answered
        self.answers: dict[int, Output] = {}  # to the last question, by the identity of the parameters

    def answer(self, net: DeviceModel, params: Tree, x: Tensor) -> Output | None:
        """The answer of an uploaded model, if all are to answer at once; None to let it answer alone."""
        group = next((group for group in self.groups if any(params is model for model in group)), None)
        if group is None:
            return None
        if self.asked is None or self.asked[0] is not x:
            self.asked, self.answers = (x, id(params)), {}
            return None
        if id(params) == self.asked[1]:
            return None
        if id(params) not in self.answers:
            self.answers = self._ask_all(net, group, x)
        return self.answers[id(params)]

    def _ask_all(self, net: DeviceModel, group: list[Tree], x: Tensor) -> dict[int, Output]:
        stack = self.stacks.setdefault(id(group), trees.stack(group))
        with torch.no_grad():
            parts = vmap(lambda params: _fields(net.model.frozen(params, x.to(net.device))))(stack)
        return {
            id(model): Output(**{name: part[number] for name, part in parts.items()})
            for number, model in enumerate(group)
        }


def _fields(output: Output) -> dict[str, Tensor]:
    return {name: part for name, part in output._asdict().items() if part is not None}


def _on(device: torch.device, value: Any) -> Any:
    """Tensors of a tree, a tuple or an output on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _on(device, leaf) for name, leaf in value.items()}
    if isinstance(value, Output):
        return Output(*(_on(device, part) for part in value))
    return tuple(_on(device, part) for part in value) if isinstance(value, tuple) else value

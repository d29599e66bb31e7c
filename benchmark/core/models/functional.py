"""A module seen as a function of its parameters, with buffers handled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.core.keys import Key
from benchmark.core.model_output import Output
from benchmark.core.models.build import build
from benchmark.core.tree import Tree

Input = Tensor | tuple[Tensor, ...]
Frozen = Callable[[Tree, Input], Output]


def _arguments(x: Input) -> tuple[Tensor, ...]:
    return x if isinstance(x, tuple) else (x,)


def _place(module: nn.Module, path: str) -> tuple[dict[str, Any], str]:
    """The dictionary in which a module keeps one of its parameters or buffers, and the name there."""
    folder, _, name = path.rpartition(".")
    owner = module.get_submodule(folder)
    return (owner._parameters if name in owner._parameters else owner._buffers), name


class Model:
    """A network by name; the module itself holds no state between calls.

    shape: (channels, height, width) of an input
    initial: fixed initial parameters instead of random ones (replays)
    """

    def __init__(self, arch: str, shape: tuple[int, int, int], classes: int, initial: Tree | None = None) -> None:
        self.arch, self.shape, self.classes, self.initial = arch, shape, classes, initial
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.module = build(arch, shape, classes)
        self.module.requires_grad_(False)
        self.parts = list(self.module.modules())
        stored = self.module.state_dict()  # constants that a module keeps to itself are no part of its parameters
        self.names = frozenset(stored)
        self.buffers = frozenset(name for name, _ in self.module.named_buffers() if name in stored)
        self.places = {name: _place(self.module, name) for name in stored}
        self.random = any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in self.module.modules())

    def init(self, key: Key) -> Tree:
        """Fresh parameters and buffers from a key, a flat tree."""
        if self.initial is not None:
            return {name: leaf.clone() for name, leaf in self.initial.items()}
        with torch.random.fork_rng(devices=[]):
            key.reseed()
            fresh = build(self.arch, self.shape, self.classes)
        return {name: leaf.detach() for name, leaf in fresh.state_dict().items()}

    def weights(self, params: Tree) -> Tree:
        """The entries that train."""
        return {name: leaf for name, leaf in params.items() if name not in self.buffers}

    def __call__(self, params: Tree, x: Input) -> Output:
        """Training mode; running statistics are updated on copies and dropped: see `TrainModeModel`."""
        return TrainModeModel(self)(params, x)

    def train(self, params: Tree, x: Input) -> tuple[Output, Tree]:
        """Training mode with the moved buffers."""
        tape = TrainModeModel(self)
        return tape(params, x), tape.moved

    def frozen(self, params: Tree, x: Input) -> Output:
        """Evaluation mode without gradient."""
        with torch.no_grad():
            return self.call(params, x, training=False)

    def call(self, params: Tree, x: Input, training: bool) -> Output:
        """The module with these parameters, which may have others beside them.

        What `torch.func.functional_call` does, without its searches, which small networks wait for longer than for
        arithmetic. Raises ValueError if one is missing, for which the module's own would stand in.
        """
        if not self.names <= params.keys():
            lacking = sorted(self.names - params.keys())
            raise ValueError(f"parameters of {self.arch} are missing: {', '.join(lacking[:3])}")
        if self.module.training != training:
            for part in self.parts:
                vars(part)["training"] = training
        own = [holder[name] for holder, name in self.places.values()]
        try:
            for path, (holder, name) in self.places.items():
                holder[name] = params[path]
            output: Output = self.module(*_arguments(x))
        finally:
            for (holder, name), tensor in zip(self.places.values(), own, strict=True):
                holder[name] = tensor
        return output


class TrainModeModel:
    """A model during one step: remembers the buffers that training-mode calls moved on.

    frozen: stands in for the model's own, see `teachers`
    """

    def __init__(self, model: Model, frozen: Frozen | None = None) -> None:
        self.model = model
        self.moved: Tree = {}
        self.buffers, self.init, self.weights = model.buffers, model.init, model.weights
        self.frozen, self.train = frozen or model.frozen, model.train

    def __call__(self, params: Tree, x: Input) -> Output:
        """Training mode; a second call continues from the buffers of the first."""
        if not self.buffers:
            return self.model.call(params, x, training=True)
        now = {**params, **self.moved}
        current = {name: now[name].clone() for name in self.buffers if name in now}
        output = self.model.call({**params, **current}, x, training=True)
        self.moved = current
        return output


class EvalModeModel:
    """A model that only looks: calls run in evaluation mode without gradient."""

    def __init__(self, model: Model) -> None:
        self.buffers, self.init, self.weights = model.buffers, model.init, model.weights
        self.frozen, self.train = model.frozen, model.train

    def __call__(self, params: Tree, x: Input) -> Output:
        """Evaluation mode."""
        return self.frozen(params, x)

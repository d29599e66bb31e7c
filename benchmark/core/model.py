"""A module seen as a function of its parameters, with buffers handled."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmark.core.keys import Key
from benchmark.core.nets import build
from benchmark.core.output import Output
from benchmark.core.tree import Tree

Input = Tensor | tuple[Tensor, ...]


def _arguments(x: Input) -> tuple[Tensor, ...]:
    return x if isinstance(x, tuple) else (x,)


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
        stored = self.module.state_dict()  # constants that a module keeps to itself are no part of its parameters
        self.names = frozenset(stored)
        self.buffers = frozenset(name for name, _ in self.module.named_buffers() if name in stored)
        self.random = any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in self.module.modules())

    def init(self, key: Key) -> Tree:
        """Fresh parameters and buffers from a key, a flat tree."""
        if self.initial is not None:
            return {name: leaf.clone() for name, leaf in self.initial.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key.seed)
            fresh = build(self.arch, self.shape, self.classes)
        return {name: leaf.detach() for name, leaf in fresh.state_dict().items()}

    def weights(self, params: Tree) -> Tree:
        """The entries that train."""
        return {name: leaf for name, leaf in params.items() if name not in self.buffers}

    def __call__(self, params: Tree, x: Input) -> Output:
        """Training mode; running statistics are updated on copies and dropped: see `Tape`."""
        return Tape(self)(params, x)

    def train(self, params: Tree, x: Input) -> tuple[Output, Tree]:
        """Training mode with the moved buffers."""
        tape = Tape(self)
        return tape(params, x), tape.moved

    def frozen(self, params: Tree, x: Input) -> Output:
        """Evaluation mode without gradient."""
        self.module.eval()
        with torch.no_grad():
            return self.call(params, x)

    def call(self, params: Tree, x: Input) -> Output:
        """The module with these parameters, which may have others beside them.

        Raises ValueError if one is missing, for which the module's own would stand in.
        """
        if lacking := self.names - params.keys():
            raise ValueError(f"parameters of {self.arch} are missing: {', '.join(sorted(lacking)[:3])}")
        output: Output = functional_call(self.module, params, _arguments(x))
        return output


class Tape:
    """A model during one step: remembers the buffers that training-mode calls moved on."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.moved: Tree = {}
        self.buffers, self.init, self.weights = model.buffers, model.init, model.weights
        self.frozen, self.train = model.frozen, model.train

    def __call__(self, params: Tree, x: Input) -> Output:
        """Training mode; a second call continues from the buffers of the first."""
        if not self.buffers:
            self.model.module.train()
            return self.model.call(params, x)
        now = {**params, **self.moved}
        current = {name: now[name].clone() for name in self.buffers if name in now}
        self.model.module.train()
        output = self.model.call({**params, **current}, x)
        self.moved = current
        return output


class Still:
    """A model that only looks: calls run in evaluation mode without gradient."""

    def __init__(self, model: Model) -> None:
        self.buffers, self.init, self.weights = model.buffers, model.init, model.weights
        self.frozen, self.train = model.frozen, model.train

    def __call__(self, params: Tree, x: Input) -> Output:
        """Evaluation mode."""
        return self.frozen(params, x)

"""Networks as functions of their parameters and buffers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.model_output import Output
from benchmark.core.models.build import build
from benchmark.core.tree import Tree

Input = Tensor | tuple[Tensor, ...]
Frozen = Callable[[Tree, Input], Output]


def autocast(precision: str, device: str = "cpu") -> AbstractContextManager[Any]:
    """bf16 arithmetic over fp32 weights if the precision is "bf16", else the arithmetic of the weights."""
    return torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()


def _arguments(x: Input) -> tuple[Tensor, ...]:
    return x if isinstance(x, tuple) else (x,)


def _holder(module: nn.Module, path: str) -> tuple[dict[str, Any], str]:
    """The dict in which a module has one of its parameters or buffers, and the name there."""
    parent, _, name = path.rpartition(".")
    owner = module.get_submodule(parent)
    return (owner._parameters if name in owner._parameters else owner._buffers), name


class Model:
    """A network; implements `api.Net`. The module itself keeps no state between calls.

    Args:
        arch: Name of the network, see `build`.
        shape: (channels, height, width) of an image.
        classes: Number of classes.
        initial: Initial parameters in place of random ones, for replays.
    """

    def __init__(self, arch: str, shape: tuple[int, int, int], classes: int, initial: Tree | None = None) -> None:
        self.arch, self.shape, self.classes, self.initial = arch, shape, classes, initial
        self.declared: str | dict[str, str] = arch
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.module = build(arch, shape, classes)
        self.module.requires_grad_(False)
        self.submodules = list(self.module.modules())
        stored = self.module.state_dict()  # without the constants that a module keeps to itself
        self.shapes = {name: (initial or stored).get(name, leaf).shape for name, leaf in stored.items()}
        self.names = frozenset(stored)
        self.buffers = frozenset(name for name, _ in self.module.named_buffers() if name in stored)
        self.holders = {name: _holder(self.module, name) for name in stored}
        self.variances = tuple(
            f"{path}.running_var".removeprefix(".")
            for path, module in self.module.named_modules()
            if isinstance(module, _BatchNorm) and module.running_var is not None
        )
        self.random = any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0 for m in self.module.modules())

    @property
    def size(self) -> int:
        """Numbers of parameters and buffers."""
        return sum(shape.numel() for shape in self.shapes.values())

    def __getitem__(self, name: str) -> Model:
        raise BenchmarkError(f"network {self.arch} has no parts", hint=f"name {name!r} in `networks`", user=False)

    def init(self, key: Key) -> Tree:
        """Initial parameters and buffers, a flat tree."""
        if self.initial is not None:
            return {name: leaf.clone() for name, leaf in self.initial.items()}
        with torch.random.fork_rng(devices=[]):
            key.reseed()
            module = build(self.arch, self.shape, self.classes)
        return {name: leaf.detach() for name, leaf in module.state_dict().items()}

    def weights(self, params: Tree) -> Tree:
        """The entries that train."""
        return {name: leaf for name, leaf in params.items() if name not in self.buffers}

    def __call__(self, params: Tree, x: Input) -> Output:
        """Training mode; running statistics are updated on copies and dropped: see `TrainModeModel`."""
        return TrainModeModel(self)(params, x)

    def train(self, params: Tree, x: Input) -> tuple[Output, Tree]:
        """Training mode; also returns the updated buffers.

        One image may have no variance for BatchNorm: the running statistics then stand in for it and stay as they are.
        """
        model = TrainModeModel(self)
        try:
            return model(params, x), model.updated_buffers
        except ValueError:
            if not self.variances or len(_arguments(x)[0]) != 1:
                raise
        return self.call(params, x, training=False), {name: params[name] for name in self.buffers}

    def frozen(self, params: Tree, x: Input) -> Output:
        """Evaluation mode without gradient."""
        with torch.no_grad():
            return self.call(params, x, training=False)

    def call(self, params: Tree, x: Input, training: bool) -> Output:
        """The module's answer with these parameters; further entries of the tree are ignored.

        A running variance below 0, as noise or a difference of models may leave, counts as 0.

        Does what `torch.func.functional_call` does, without its searches, which take small networks longer than the
        arithmetic. Raises ValueError if a parameter is missing: the module's own would be used without notice.
        """
        if not self.names <= params.keys():
            missing = sorted(self.names - params.keys())
            raise ValueError(f"parameters of {self.arch} are missing: {', '.join(missing[:3])}")
        if self.module.training != training:
            for submodule in self.submodules:
                vars(submodule)["training"] = training
        originals = [holder[name] for holder, name in self.holders.values()]
        try:
            for path, (holder, name) in self.holders.items():
                holder[name] = params[path]
            for path in () if training else self.variances:
                holder, name = self.holders[path]
                holder[name] = params[path].clamp(min=0)
            output: Output = self.module(*_arguments(x))
        finally:
            for (holder, name), tensor in zip(self.holders.values(), originals, strict=True):
                holder[name] = tensor
        return output


def compare_shapes(model: Any, params: Tree, what: str) -> None:
    """Raise BenchmarkError if an entry of a tree has not the shape that the network declares.

    Args:
        model: The network.
        params: A tree; entries under other names are ignored.
        what: What the tree is, in words.
    """
    for name, shape in model.shapes.items():
        if isinstance(leaf := params.get(name), Tensor) and leaf.shape != shape:
            message = f"{name} of {what} has shape {tuple(leaf.shape)}, in {model.arch} it has {tuple(shape)}"
            hint = "declare other networks in `network` or `networks`"
            raise BenchmarkError(message, hint=hint, user=False)


class TrainModeModel:
    """A model during one training step, with the buffers that its calls have updated.

    Args:
        model: The model.
        frozen: Used in place of the model's own `frozen`, see `TeacherCache`.
        updated_buffers: Where to put updated buffers; a new dict if None.
    """

    def __init__(self, model: Model, frozen: Frozen | None = None, updated_buffers: Tree | None = None) -> None:
        self.model = model
        self.updated_buffers: Tree = {} if updated_buffers is None else updated_buffers
        self.buffers, self.init, self.weights = model.buffers, model.init, model.weights
        self.frozen, self.train = frozen or model.frozen, model.train

    def __getitem__(self, name: str) -> TrainModeModel:
        return TrainModeModel(self.model[name], updated_buffers=self.updated_buffers)

    def __call__(self, params: Tree, x: Input) -> Output:
        """Training mode; a second call continues from the buffers of the first."""
        if not self.buffers:
            return self.model.call(params, x, training=True)
        now = {**params, **self.updated_buffers}
        current = {name: now[name].clone() for name in self.buffers if name in now}
        output = self.model.call({**params, **current}, x, training=True)
        self.updated_buffers.update(current)
        return output


class EvalModeModel:
    """A model whose calls run in evaluation mode and without gradient."""

    def __init__(self, model: Model) -> None:
        self.buffers, self.init, self.weights = model.buffers, model.init, model.weights
        self.model, self.frozen, self.train = model, model.frozen, model.train

    def __getitem__(self, name: str) -> EvalModeModel:
        return EvalModeModel(self.model[name])

    def __call__(self, params: Tree, x: Input) -> Output:
        """Evaluation mode."""
        return self.frozen(params, x)

"""One step of many clients at once: `vmap` over stacked trees, as a function without side effects."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Batch, Local, Pass
from benchmark.core.client.allowance import check_gradients
from benchmark.core.models.functional import EvalModeModel, Model, TrainModeModel, autocast
from benchmark.core.optim import Optim
from benchmark.core.tree import Tree

Step = Callable[[Tree, Tree, Tree, Tree, Tensor], Tree]


class StackedStep:
    """A pass's step for a whole chunk of clients.

    The state of a chunk is a tree whose leaves have a first axis over its clients: `params`, `carry`, `steps` as
    `Local` counts them, the optimiser's `first` and `second` moments and `updates` so far, and the step and value of
    the first loss that was not finite (`nonfinite_step`, 0 for none, and `nonfinite_loss`).
    """

    def __init__(
        self, algorithm: Algorithm, model: Model, run: Pass, optim: Optim, precision: str, device: torch.device
    ) -> None:
        self.model, self.run, self.optim, self.precision, self.device = model, run, optim, precision, device
        self.loss, self.step = getattr(algorithm, run.loss), getattr(algorithm, run.step)
        self.after_step = algorithm.after_step

    def start(self, params: Tree, carry: Tree, steps: Tensor) -> Tree:
        """The state before the first step of the pass."""
        zeros = trees.zeros({name: params[name] for name in self.trained(params)})
        moments = {"first": self.optim.name == "adam" or self.optim.momentum > 0, "second": self.optim.name == "adam"}
        return {
            "params": params,
            "carry": carry,
            "steps": steps,
            "updates": torch.zeros_like(steps),
            "nonfinite_step": torch.zeros_like(steps),
            "nonfinite_loss": torch.zeros(len(steps), device=steps.device),
            **{name: dict(zeros) if needed and self.run.update else {} for name, needed in moments.items()},
        }

    def trained(self, params: Tree) -> list[str]:
        """Names of the parameters that the pass trains."""
        return [name for name in params if name not in self.model.buffers and name.startswith(self.run.only)]

    def __call__(self, state: Tree, context: Tree, batch: Tree, rates: Tree, active: Tensor) -> Tree:
        """The state after a step; that of a client that is not active stays.

        Args:
            state: The state before.
            context: The clients' contexts, stacked.
            batch: Fields of a `Batch`.
            rates: Learning rates, "optim" for the optimiser and "local" for `Local.lr`.
            active: Which clients take the step (chunk,), bool.
        """
        with ForeachAsLoop():
            after = vmap(self._client_step, in_dims=(0, 0, 0, None))(state, context, batch, rates)

        def chosen(old: Tensor, new: Tensor) -> Tensor:
            return torch.where(active.view(-1, *[1] * (old.dim() - 1)), new, old)

        return trees.map(chosen, state, after)

    def _client_step(self, state: Tree, context: Tree, batch: Tree, rates: Tree) -> Tree:
        client = _Client(self, state, rates["optim"])
        # PyTorch code changes tensors in place now and then; what it gets here is its own
        params, carry = dict(state["params"]), trees.copy(state["carry"])
        local = Local(params, context, carry, steps=state["steps"], lr=rates["local"])
        sample = Batch(**batch)
        if self.run.update:
            local, extras = self.step(local, sample, client.gradient, client.update)
            check_gradients(client.gradients, self.run.loss)
        else:
            with torch.no_grad(), self.autocast():
                _, extras = self.loss(params, local, sample, EvalModeModel(self.model))
        local = self.after_step(local, extras, sample)
        return {"params": local.params, "carry": local.carry, "steps": local.steps, **client.state}

    def autocast(self) -> AbstractContextManager[Any]:
        """The pass's arithmetic."""
        return autocast(self.precision, self.device.type)


class _Client:
    """One client within a step, as `vmap` shows it: the `gradient` and the `update` that a method's step is given."""

    def __init__(self, step: StackedStep, state: Tree, lr: Tensor) -> None:
        self.step, self.lr, self.gradients = step, lr, 0
        self.state = {name: state[name] for name in ("first", "second", "updates", "nonfinite_step", "nonfinite_loss")}

    def gradient(self, local: Local, batch: Batch) -> tuple[Tree, Tree]:
        """Gradients by name and extras; moved buffers go into local.params."""
        self.gradients += 1
        step, model = self.step, TrainModeModel(self.step.model)

        def risk(weights: Tree) -> tuple[Tensor, tuple[Tree, Tree]]:
            with step.autocast():
                value, extras = step.loss({**local.params, **weights}, local, batch, model)
            return value, (extras, model.updated_buffers)

        weights = {name: local.params[name] for name in step.trained(local.params)}
        gradients, (value, (extras, moved)) = grad_and_value(risk, has_aux=True)(weights)
        local.params.update(moved)
        self._record_nonfinite(value, local.steps)
        return gradients, extras

    def update(self, local: Local, gradients: Tree) -> Local:
        """One step of the optimiser."""
        state = self.state
        state["updates"] = state["updates"] + 1
        trained = {name: local.params[name] for name in gradients}
        params, state["first"], state["second"] = self.step.optim.apply_pure(
            trained, gradients, state["first"], state["second"], state["updates"], self.lr
        )
        return local.having(params={**local.params, **params}, steps=local.steps + 1)

    def _record_nonfinite(self, value: Tensor, steps: Any) -> None:
        """Remember the first loss that is not finite, without asking the device for it."""
        is_first = ~torch.isfinite(value) & (self.state["nonfinite_step"] == 0)
        self.state["nonfinite_step"] = torch.where(is_first, steps + 1, self.state["nonfinite_step"])
        self.state["nonfinite_loss"] = torch.where(is_first, value.float(), self.state["nonfinite_loss"])


class ForeachAsLoop(TorchFunctionMode):
    """Replaces torch._foreach_* by an operation per tensor, because `vmap` has no rule for lists."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if not name.startswith("_foreach_"):
            return func(*args, **(kwargs or {}))
        single = getattr(Tensor, name.removeprefix("_foreach_"))
        columns = [arg if isinstance(arg, list | tuple) else [arg] * len(args[0]) for arg in args]
        return [single(*row, **(kwargs or {})) for row in zip(*columns, strict=True)]


class CudaGraphStep:
    """A step as a CUDA graph for every set of shapes: recorded once, then replayed on memory of its own."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.graphs: dict[Any, tuple[torch.cuda.CUDAGraph, list[Any], list[Any]]] = {}

    def __call__(self, *arguments: Any) -> Tree:
        """The state after the step, in memory that the next call uses again."""
        leaves, spec = pytree.tree_flatten(arguments)
        signature = (spec, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        if signature not in self.graphs:
            inputs = [leaf.clone() for leaf in leaves]
            self.graphs[signature] = self._record(pytree.tree_unflatten(inputs, spec)), inputs, list(leaves)
        graph, inputs, last = self.graphs[signature]
        changing = len(pytree.tree_leaves(arguments[0]))  # the state changes in place; the other arguments do not
        for number, leaf in enumerate(leaves):
            if leaf is not inputs[number] and (number < changing or leaf is not last[number]):
                inputs[number].copy_(leaf, non_blocking=True)
                last[number] = leaf
        graph.replay()
        return pytree.tree_unflatten(inputs, spec)[0]

    def _record(self, arguments: Any) -> torch.cuda.CUDAGraph:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # libraries choose their kernels and allocate before anything is recorded
                self.step(*arguments)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            trees.map(Tensor.copy_, arguments[0], self.step(*arguments))
        return graph


def with_padding(batch: Tree) -> Tree:
    """The batch with one more sample, as unlike the others as it can be, and masked."""
    y = batch["y"]
    longer = {
        name: torch.cat([part, torch.full_like(part[:, :1], 7 if part.is_floating_point() else 0)], 1)
        for name, part in batch.items()
    }
    mask = torch.ones(y.shape[0], y.shape[1] + 1, device=y.device)
    mask[:, -1] = 0
    return {**longer, "mask": mask}


def distance(a: Tree, b: Tree, origin: Tree) -> float:
    """Distance of a and b as a share of b's distance from the origin; the largest over all leaves."""

    def share(x: Tensor, y: Tensor, start: Tensor) -> Tensor:
        x, y, start = x.double(), y.double(), start.double()
        length = torch.linalg.vector_norm
        ratio: Tensor = length(x - y) / (length(y - start) + 1e-6 * length(y) + 1e-12)
        return ratio

    shares = [leaf for _, leaf in trees.walk(trees.map(share, a, b, origin))]
    return float(torch.stack(shares).max())

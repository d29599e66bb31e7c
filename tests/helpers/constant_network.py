"""A network whose parameters are its answers, and messages of single numbers: for methods' arithmetic by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmark.core import method_files
from benchmark.core.api import Batch, Local, Phase, Tree, Upload, Who
from helpers.small_federation import small_federation

PHASE = Phase("train", 1)


class Answer(NamedTuple):
    logits: Tensor
    features: Tensor


class ConstantNetwork:
    """A network that reads its answers off its parameters: one row of logits and features for every sample."""

    buffers: frozenset[str] = frozenset()

    def weights(self, params: Tree) -> Tree:
        return params

    def __call__(self, params: Tree, x: Tensor) -> Answer:
        logits: Tensor = params["logits"]
        features: Tensor = {"features": logits, **params}["features"]
        return Answer(logits.expand(len(x), -1), features.expand(len(x), -1))

    frozen = __call__


def batch(*labels: int) -> Batch:
    return Batch(torch.zeros(len(labels), 1), torch.tensor(labels), torch.arange(len(labels)))


def loss_of(name: str, local: Local, labels: tuple[int, ...], **settings: Any) -> float:
    method = method_files.make(name, settings)
    return float(method.loss(local.params, local, batch(*labels), ConstantNetwork())[0])  # type: ignore[arg-type]


def vectors(**values: list[Any]) -> Tree:
    return {name: torch.tensor(value, dtype=torch.float) for name, value in values.items()}


def uploads(*sent: tuple[int, Tree]) -> list[Upload]:
    """From clients of so many samples."""
    return [Upload(Who(number, "mlp", size), message) for number, (size, message) in enumerate(sent)]


def number(value: float) -> Tree:
    return {"w": torch.tensor([value], dtype=torch.float)}


def hub(sizes: tuple[int, ...], buffers: frozenset[str] = frozenset(), **settings: Any) -> Any:
    """The server's view of a federation with one network whose only weight is w."""
    federation = small_federation(sizes=sizes, cohort=1, **settings)
    view, table = federation.hub, ConstantNetwork()
    table.buffers = buffers
    models: Any = {"mlp": table}
    return type(view)(**{**vars(view), "models": models})

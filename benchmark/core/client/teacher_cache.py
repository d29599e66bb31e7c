"""A cache of frozen teachers' outputs per image, so that later epochs do not compute them again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmark.core.api import Batch
from benchmark.core.model_output import Output
from benchmark.core.models.functional import Frozen, Input, Model
from benchmark.core.tree import Tree

MAX_TEACHERS = 2  # of a loss; if there are more, a teacher changes, and caching its outputs is useless


class _Outputs(NamedTuple):
    leaves: list[Tensor]  # the teacher, kept alive so that no other tensor gets the identity of one
    known: Tensor  # (size,), bool: rows that have been computed
    output: Output  # of all rows


class TeacherCache:
    """Outputs of frozen models by row of one stream without augmentation.

    Only full batches are cached and looked up: in a short one, the last bits of an output differ.

    Args:
        model: The network of all teachers.
        size: Rows of the stream.
        batch: Rows of a full batch.
    """

    def __init__(self, model: Model, size: int, batch: int) -> None:
        self.model, self.size, self.batch = model, size, batch
        self.outputs: dict[tuple[tuple[int, int], ...], _Outputs] = {}

    def bind(self, batch: Batch) -> Frozen:
        """`Model.frozen` for a step on this batch."""
        return partial(self._frozen, batch)

    def _frozen(self, batch: Batch, params: Tree, x: Input) -> Output:
        if x is not batch.x or len(batch.rows) < self.batch:
            return self.model.frozen(params, x)
        teacher = tuple((id(leaf), leaf._version) for leaf in params.values())
        cached = self.outputs.get(teacher)
        if cached is None and len(self.outputs) == MAX_TEACHERS:
            return self.model.frozen(params, x)
        if cached and bool(cached.known[batch.rows].all()):
            return _each(cached.output, lambda part: part[batch.rows])
        output = self.model.frozen(params, x)
        if cached is None:
            cached = self.outputs[teacher] = self._empty(params, output)
        cached.known[batch.rows] = True
        for table, part in zip(cached.output, output, strict=True):
            if part is not None:
                table[batch.rows] = part
        return output

    def _empty(self, params: Tree, like: Output) -> _Outputs:
        blank = _each(like, lambda part: part.new_empty(self.size, *part.shape[1:]))
        return _Outputs(list(params.values()), torch.zeros(self.size, dtype=torch.bool), blank)


def _each(output: Output, function: Callable[[Tensor], Tensor]) -> Output:
    parts: list[Any] = [part if part is None else function(part) for part in output]
    return Output(*parts)

"""Computing on a device what was written for the CPU: tensors that meet one of the device join it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

IN_PLACE = {"__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__iand__", "__ior__"}
AS_IT_IS = {"to", "cpu", "copy_", "grad", "backward", "pin_memory", "__get__", "__set__"}


class JoinDevice(TorchFunctionMode):
    """Within it an operation on tensors of the CPU and of the device happens on the device.

    Random numbers are drawn on the CPU, so that they are those of the loop: an operation with a generator happens
    there, as does one that changes a tensor of the CPU in place.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in AS_IT_IS:
            return func(*args, **kwargs)
        if name == "numpy":
            return args[0].cpu().numpy(*args[1:], **kwargs)
        tensors = list(_tensors((*args, *kwargs.values())))
        if len({tensor.device.type for tensor in tensors}) < 2 and "generator" not in kwargs:
            return func(*args, **kwargs)
        place = self._place(name, tensors, kwargs)
        args, kwargs = pytree.tree_map_only(Tensor, lambda leaf: leaf.to(place), (args, kwargs))
        return func(*args, **kwargs)

    def _place(self, name: str, tensors: list[Tensor], kwargs: dict[str, Any]) -> torch.device:
        if kwargs.get("generator") is not None:
            return torch.device("cpu")
        changes_first = name in IN_PLACE or (name.endswith("_") and not name.endswith("__"))
        return tensors[0].device if changes_first else self.device


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)

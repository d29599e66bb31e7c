"""Marks of everything that a method could remember by outside of memories: what has changed, shows."""

from __future__ import annotations

import builtins
import sys
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

from benchmark.core.api import Algorithm
from benchmark.core.isolation.audit_hook import is_method

DEPTH = 4
SHARED = ("benchmark.core.", "torch.nn.functional", "torch.autograd")  # modules that judge and train
UNSTEADY = ("benchmark.core.isolation", "benchmark.core.isolation.audit_hook")  # which change while they watch


def state(method: Algorithm) -> dict[str, Any]:
    """Marks of the method itself, its classes and modules, and of the functions that everybody calls."""
    modules = {name for name in list(sys.modules) if is_method(name)}
    marks = {f"self.{name}": _mark(value, modules) for name, value in vars(method).items()}
    for module in modules:
        for name, value in vars(sys.modules[module]).items():
            if not name.startswith("__"):
                marks[f"{module}.{name}"] = _mark(value, modules)
                if isinstance(value, type) and value.__module__ in modules:
                    attributes = {key: held for key, held in vars(value).items() if not key.startswith("__")}
                    marks |= {f"{value.__name__}.{key}": _mark(held, modules) for key, held in attributes.items()}
    return marks | _common()


def _common() -> dict[str, Any]:
    """Functions of the engine, of torch and of Python by what stands under their names now."""
    shared = [
        module for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and name.startswith(SHARED) and not name.startswith(UNSTEADY)
    ]  # fmt: skip
    owners: dict[str, Any] = {module.__name__: module for module in [*shared, torch, builtins]}
    owners["torch.Tensor"] = torch.Tensor
    for module in shared:
        owners |= {f"{module.__name__}.{name}": value for name, value in vars(module).items()
                   if isinstance(value, type) and value.__module__ == module.__name__}  # fmt: skip
    return {
        f"{owner}.{name}": id(value) for owner, held in owners.items() for name, value in list(vars(held).items())
        if callable(value) and not isinstance(value, type) and not name.startswith("__warning")
    }  # fmt: skip


def printed(leaf: Any) -> bytes:
    """Type, shape and bytes of a tensor; what is no tensor in words."""
    if not isinstance(leaf, torch.Tensor):
        return repr(leaf).encode()
    flat = leaf.detach().contiguous().reshape(-1)
    return str((leaf.dtype, leaf.shape)).encode() + flat.view(torch.uint8).numpy().tobytes()


def _mark(value: Any, modules: set[str], depth: int = DEPTH) -> Any:
    """Equal as long as a value is what it was; its inside counts where Python can change it."""
    inner = partial(_mark, modules=modules, depth=depth - 1)
    if isinstance(value, torch.Tensor):
        return printed(value), inner(vars(value))
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if value is None or isinstance(value, str | bytes | int | float):
        return repr(value)
    if depth == 0:
        return id(value)
    if isinstance(value, dict):
        return [(repr(key), inner(held)) for key, held in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [inner(held) for held in value]
    if isinstance(value, staticmethod | classmethod):
        return inner(value.__func__)
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        return id(value), inner(value.__defaults__), inner(value.__kwdefaults__), inner(vars(value)), inner(cells)
    if hasattr(value, "cache_info"):
        return id(value), str(value.cache_info())
    if type(value).__module__ in modules and hasattr(value, "__dict__"):
        return id(value), inner(vars(value))
    return id(value)


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False

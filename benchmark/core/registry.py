"""Parts of one's own: a dataset, a partition, a network or a metric is one function, registered under a name.

Worker processes and the command line know the parts of the files that FEDREPRO_PARTS lists.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmark.core.errors import BenchmarkError

FILES = "FEDREPRO_PARTS"
F = TypeVar("F", bound=Callable[..., Any])
_PARTS: dict[tuple[str, str], Callable[..., Any]] = {}
_READ: set[Path] = set()


def dataset(name: str) -> Callable[[F], F]:
    """Register () -> {"train": (images, labels), "test": (images, labels)}.

    images: (n, height, width, channels), uint8; labels: (n,), integers from 0, every class in both parts
    """
    return _register("dataset", name)


def partition(name: str) -> Callable[[F], F]:
    """Register (labels, clients, key, **options) -> one array of row numbers per client.

    labels: (n,), int64, of the rows that are left for clients; rows of different clients must not overlap
    key: all that may be drawn from: `key("what for").numpy()` is a generator
    options: `options:` of the task's split, whose kind is `registered`
    """
    return _register("partition", name)


def network(name: str) -> Callable[[F], F]:
    """Register (shape, classes) -> torch module.

    shape: (channels, height, width); the module's forward takes (n, *shape) and answers an `Output` of logits
    (n, classes) and features (n, width); see benchmark/core/models/base.py
    """
    return _register("network", name)


def metric(name: str) -> Callable[[F], F]:
    """Register (result) -> float, of the `Result` of a record: a column of `benchmark.board` with its interval."""
    return _register("metric", name)


def _register(kind: str, name: str) -> Callable[[F], F]:
    def keep(function: F) -> F:
        _PARTS[kind, name] = function
        return function

    return keep


def find(kind: str, name: str) -> Callable[..., Any] | None:
    """The function that is registered under a name, None if there is none."""
    _read()
    return _PARTS.get((kind, name))


def named(kind: str) -> dict[str, Callable[..., Any]]:
    """All registered functions of a kind."""
    _read()
    return {name: function for (known, name), function in _PARTS.items() if known == kind}


def fingerprint(kind: str, name: str) -> str:
    """sha256 of the source of a registered function."""
    try:
        return hashlib.sha256(inspect.getsource(_PARTS[kind, name]).encode()).hexdigest()
    except (OSError, TypeError):
        return "typed into a terminal"


def _read() -> None:
    """Run the files of FEDREPRO_PARTS, each once per process."""
    for text in os.environ.get(FILES, "").split(os.pathsep):
        path = Path(text).expanduser().resolve()
        if not text or path in _READ:
            continue
        _READ.add(path)
        spec = importlib.util.spec_from_file_location(f"parts_{path.stem}", path)
        try:
            assert spec is not None and spec.loader is not None, "not a Python file"
            module = importlib.util.module_from_spec(spec)
            sys.modules[module.__name__] = module  # where the source of its functions is looked up
            spec.loader.exec_module(module)
        except Exception as error:  # whatever a user's file raises becomes a sentence
            _READ.discard(path)
            detail = f"{type(error).__name__}: {error}"
            raise BenchmarkError(f"cannot be run ({detail})", where=text, hint=f"mend the file in {FILES}") from error

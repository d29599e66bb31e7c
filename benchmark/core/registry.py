"""Extensions: a dataset, a partition, a network or a metric is one function that is registered under a name.

Worker processes and the command line read extensions from the files that the variable FEDREPRO_PARTS lists.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from benchmark.core import user_paths
from benchmark.core.errors import BenchmarkError

FILES = "FEDREPRO_PARTS"
F = TypeVar("F", bound=Callable[..., Any])
_EXTENSIONS: dict[tuple[str, str], Callable[..., Any]] = {}
_FILES_READ: set[Path] = set()


def dataset(name: str) -> Callable[[F], F]:
    """Register a dataset: a function () -> {"train": (images, labels), "test": (images, labels)}.

    Images are uint8 (n, height, width, channels), labels integers from 0 (n,), with every class in both splits, at most
    256 classes, and no channel constant. What departs from this is refused when the dataset is read.

    Args:
        name: Name for the field `dataset` of a task.
    """
    return _register("dataset", name)


def partition(name: str) -> Callable[[F], F]:
    """Register a partition: a function (labels, clients, key, **options) -> one array of row numbers per client.

    `labels` (n,), int64, are those of the rows that are left for `clients` clients, whose rows must not overlap. The
    function may draw from `key` alone: `key("what for").numpy()` is a generator. `options` are those of the task's
    split.

    Args:
        name: Name for the field `name` of a split of kind `registered`.
    """
    return _register("partition", name)


def network(name: str) -> Callable[[F], F]:
    """Register a network: a function (shape, classes) -> torch module.

    `shape` is (channels, height, width). The module's forward takes images (n, *shape) and answers an `Output` of
    logits (n, classes) and features (n, width); `benchmark.core.models.base.Net` helps to build one.

    Args:
        name: Name for the field `networks` of a task.
    """
    return _register("network", name)


def metric(name: str) -> Callable[[F], F]:
    """Register a metric: a function (result) -> float of the `Result` of a record, or (result, predictions) -> float.

    `predictions` are what the judged models, clients' or the common one, answer to the test images; see
    `benchmark.records.predictions.Predictions`. Runs keep them with `predictions=True`. `fedrepro.board` shows a metric
    as a column, with its interval over seeds; it is empty if a seed has no predictions.

    Args:
        name: Name of the column.
    """
    return _register("metric", name)


def _register(kind: str, name: str) -> Callable[[F], F]:
    def register(function: F) -> F:
        _EXTENSIONS[kind, name] = function
        return function

    return register


def find(kind: str, name: str) -> Callable[..., Any] | None:
    """The function that is registered under a name; None if there is none.

    Args:
        kind: "dataset", "partition", "network" or "metric".
        name: Its name.
    """
    _read_files()
    return _EXTENSIONS.get((kind, name))


def registered(kind: str) -> dict[str, Callable[..., Any]]:
    """All registered functions of a kind, by name.

    Args:
        kind: "dataset", "partition", "network" or "metric".
    """
    _read_files()
    return {name: function for (other, name), function in _EXTENSIONS.items() if other == kind}


def source_sha256(kind: str, name: str) -> str:
    """Hash of the file of a registered function and of those that it uses beside it.

    Args:
        kind: "dataset", "partition", "network" or "metric".
        name: Its name.

    Returns:
        sha256, hexadecimal; words if the function has no source file.
    """
    module = inspect.getmodule(_EXTENSIONS[kind, name])
    digests = sorted(hashlib.sha256(path.read_bytes()).digest() for path in _own_files(module))
    return hashlib.sha256(b"".join(digests)).hexdigest() if digests else "typed into a terminal"


def _own_files(module: ModuleType | None) -> set[Path]:
    """The file of a module, and those of modules that it uses from the same folder or below."""
    files, waiting = dict[Path, None](), [module]
    while waiting:
        current = waiting.pop()
        path = Path(getattr(current, "__file__", None) or "").resolve()
        if not path.is_file() or path in files or "site-packages" in path.parts:
            continue
        if files and next(iter(files)).parent not in path.parents:
            continue
        files[path] = None
        for value in vars(current).values():
            used = value if isinstance(value, ModuleType) else sys.modules.get(getattr(value, "__module__", None) or "")
            waiting.append(used)
    return set(files)


def _read_files() -> None:
    """Run the files of FEDREPRO_PARTS, each once in a process."""
    for text in os.environ.get(FILES, "").split(os.pathsep):
        path = user_paths.expanded(text, FILES).resolve()
        if not text or path in _FILES_READ:
            continue
        _FILES_READ.add(path)
        spec = importlib.util.spec_from_file_location(f"parts_{path.stem}", path)
        try:
            assert spec is not None and spec.loader is not None, "not a Python file"
            module = importlib.util.module_from_spec(spec)
            sys.modules[module.__name__] = module  # where the source of its functions is looked up
            spec.loader.exec_module(module)
        except Exception as error:  # whatever a user's file raises becomes a sentence
            _FILES_READ.discard(path)
            detail = f"{type(error).__name__}: {error}"
            raise BenchmarkError(f"cannot be run ({detail})", where=text, hint=f"fix the file in {FILES}") from error

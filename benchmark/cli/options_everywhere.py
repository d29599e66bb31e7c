"""Options of every command: `--algorithms`, `--verbose`, `--debug`. They may come before the command or after it."""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.core.errors import BenchmarkError
from benchmark.paths import OWN

debug = False  # whether a failure of the command that runs shows its traceback


def _add_folders(folders: list[Path] | None) -> None:
    """Worker processes inherit them."""
    for folder in folders or []:
        if not folder.is_dir():
            raise BenchmarkError(f"--algorithms {folder}: no such folder", hint="name a folder of .py files")
    if folders:
        os.environ[OWN] = os.pathsep.join(str(folder.resolve()) for folder in folders)


def _set_level(verbose: int) -> None:
    if verbose:
        logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
        logging.getLogger("benchmark").setLevel(logging.INFO if verbose == 1 else logging.DEBUG)


def _set_debug(value: bool) -> None:
    global debug
    debug = debug or value


OPTIONS = {
    "algorithms": Annotated[
        list[Path] | None,
        typer.Option("--algorithms", metavar="FOLDER", callback=_add_folders, help="Add the methods of a folder."),
    ],
    "verbose": Annotated[
        int, typer.Option("--verbose", "-v", count=True, callback=_set_level, help="Log what is done; -vv: more.")
    ],
    "debug": Annotated[bool, typer.Option("--debug", callback=_set_debug, help="Show the traceback of a failure.")],
}
DEFAULTS: dict[str, Any] = {"algorithms": None, "verbose": 0, "debug": False}


def everywhere(function: Callable[..., Any]) -> Callable[..., Any]:
    """The command with these options as well."""

    @functools.wraps(function)
    def command(**given: Any) -> Any:
        return function(**{name: value for name, value in given.items() if name not in OPTIONS})

    signature = inspect.signature(function, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS[name], annotation=annotation)
        for name, annotation in OPTIONS.items()
    ]
    parameters = [*signature.parameters.values(), *added]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command

"""The command line: `fedrepro COMMAND`. A failure is one line on stderr; exit code 2: a user's mistake, 1: a run's."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import typer

from benchmark.cli import author, check, data, fleet, flower, lists, machine, power, regress, report, single, tables
from benchmark.core.errors import BenchmarkError, explain
from benchmark.paths import OWN

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
    epilog="Anywhere in a command: --debug shows the traceback of a failure, --algorithms FOLDER adds methods.",
)  # fmt: skip
for part in (single, flower, check, author, fleet, regress, tables, power, report, lists, machine):
    part.register(app)
app.add_typer(data.app, name="data")


@app.callback()
def _fedrepro() -> None:
    """Knowledge distillation in federated learning: one command trains a method, one ranks them all."""


def main() -> NoReturn:
    """Entry point of the `fedrepro` program."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(invoke([word for word in sys.argv[1:] if word != "--debug"], debug="--debug" in sys.argv[1:]))


def invoke(words: list[str], debug: bool = False) -> int:
    """Run one command line and return its exit code; debug: let the exception of a failure through."""
    try:
        words = _with_algorithms(words)
        code = app(words, prog_name="fedrepro", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return code or 0
    except (Exception, KeyboardInterrupt) as error:
        if hasattr(error, "format_message"):  # a mistake in the command line, whose class typer has renamed over time
            print(f"fedrepro: {_usage(error)}", file=sys.stderr)
            return 2
        if debug:
            raise
        message, code = explain(error)
        print(f"fedrepro: {message}", file=sys.stderr)
        return code


def _with_algorithms(words: list[str]) -> list[str]:
    """Take `--algorithms FOLDER` out of a command line; worker processes inherit it."""
    rest, folders = list(words), []
    while "--algorithms" in rest:
        place = rest.index("--algorithms")
        folder = "".join(rest[place + 1 : place + 2])
        if not Path(folder).is_dir() or not folder:
            raise BenchmarkError(f"--algorithms {folder}: no such folder", hint="name a folder of .py files")
        folders.append(str(Path(folder).resolve()))
        del rest[place : place + 2]
    if folders:
        os.environ[OWN] = os.pathsep.join(folders)
    return rest


INTERRUPTED = 130
"""What typer makes of Ctrl-C."""


def _usage(error: Any) -> str:
    """What is wrong with a command line, with the nearest name where typer knows one."""
    context = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split())
    return f"{text} (`{context.command_path if context else 'fedrepro'} --help` shows what there is)"


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt

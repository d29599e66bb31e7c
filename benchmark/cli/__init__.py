"""The command line: `fedrepro COMMAND`. A failure is one line on stderr; exit code 2: a user's mistake, 1: a run's."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any, NoReturn

import typer

from benchmark.cli import (
    bench,
    campaign,
    check,
    cite,
    confirm,
    data,
    doctor,
    export,
    findings,
    flower,
    golden,
    list_,
    new,
    options_everywhere,
    power,
    profile,
    rebuild,
    regress,
    report,
    run,
    split,
    submit,
    tables,
    tune,
    verify,
)
from benchmark.cli.options_everywhere import everywhere
from benchmark.core.errors import explain

COMMANDS = (
    run.run,
    golden.golden,
    profile.profile,
    flower.flower,
    check.check,
    new.new,
    submit.submit,
    cite.cite,
    bench.bench,
    campaign.campaign,
    tune.tune,
    regress.regress,
    tables.board,
    tables.claims,
    power.power,
    findings.findings,
    verify.verify,
    rebuild.rebuild,
    confirm.confirm,
    split.split,
    report.report,
    list_.list_,
    doctor.doctor,
    export.export,
)
INTERRUPTED = 130  # what typer makes of Ctrl-C


def _fedrepro() -> None:
    """Knowledge distillation in federated learning: one command trains a method, one ranks them all."""


app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
app.callback()(everywhere(_fedrepro))
for function in COMMANDS:
    app.command(function.__name__.rstrip("_"))(everywhere(function))
app.add_typer(data.app, name="data")


def main() -> NoReturn:
    """Entry point of the `fedrepro` program."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(invoke(sys.argv[1:]))


def invoke(words: list[str], debug: bool = False) -> int:
    """Run one command line and return its exit code; debug: let the exception of a failure through."""
    options_everywhere.debug = debug
    try:
        code = app(words, prog_name="fedrepro", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return code or 0
    except (Exception, KeyboardInterrupt) as error:
        if hasattr(error, "format_message"):  # a mistake in the command line, whose class typer has renamed over time
            print(f"fedrepro: {_usage(error)}", file=sys.stderr)
            return 2
        if options_everywhere.debug:
            raise
        message, code = explain(error)
        print(f"fedrepro: {message}", file=sys.stderr)
        return code


def _usage(error: Any) -> str:
    """What is wrong with a command line, with the nearest name where typer knows one."""
    context = getattr(error, "ctx", None)
    text = " ".join(error.format_message().split())
    return f"{text} (`{context.command_path if context else 'fedrepro'} --help` shows what there is)"


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt

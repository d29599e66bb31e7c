"""A record in the formats of other tools: TensorBoard's event files."""

from __future__ import annotations

from pathlib import Path

from benchmark.core.errors import BenchmarkError
from benchmark.records import store
from benchmark.records.record import Record

EXTRA = "pip install 'fedrepro[tensorboard]'"


def tensorboard(path: Path, folder: Path) -> Path:
    """Write the curves of a record as scalars over rounds into <folder>/<task>/<method>/<seed>; returns that folder.

    Scalars: accuracy, forgetting, MB so far, accuracy of every class; hyper-parameters and the final numbers as text.
    """
    made = store.read(path)
    if made.result is None:
        raise BenchmarkError(f"{made.status}: {made.reason}", where=str(path), hint="only finished runs have curves")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise BenchmarkError(f"TensorBoard needs {error.name}", hint=f"install it: {EXTRA}") from None
    target = folder / made.path.with_suffix("")
    if any(target.glob("events.*")):
        raise BenchmarkError("holds an export already", where=str(target), hint="delete it, or choose another folder")
    writer = SummaryWriter(str(target))
    for step in made.result.evaluations:
        scalars = {"accuracy": step.accuracy, "forgetting": step.forgetting, "MB": step.bytes / 1e6}
        scalars |= {f"class/{number}": value for number, value in enumerate(step.per_class)}
        for name, value in scalars.items():
            writer.add_scalar(name, value, step.round)
    writer.add_text("record", _text(made))
    writer.close()
    return target


def _text(made: Record) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in made.settings.items()) or "no hyper-parameters"
    departures = f"; departs: {', '.join(made.departures)}" if made.departures else ""
    return f"{made.task} {made.algorithm} seed {made.seed}: {settings}{departures}; result {made.result_sha256}"

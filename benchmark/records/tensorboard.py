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
    record = store.read(path)
    if record.result is None:
        reason = f"{record.status}: {record.reason}"
        raise BenchmarkError(reason, where=str(path), hint="only finished runs have curves")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise BenchmarkError(f"TensorBoard needs {error.name}", hint=f"install it: {EXTRA}") from None
    target = folder / record.path.with_suffix("")
    if any(target.glob("events.*")):
        raise BenchmarkError("holds an export already", where=str(target), hint="delete it, or choose another folder")
    writer = SummaryWriter(str(target))
    for step in record.result.evaluations:
        scalars = {"accuracy": step.accuracy, "forgetting": step.forgetting, "MB": step.bytes / 1e6}
        scalars |= {f"class/{number}": value for number, value in enumerate(step.per_class)}
        for name, value in scalars.items():
            writer.add_scalar(name, value, step.round)
    writer.add_text("record", _text(record))
    writer.close()
    return target


def _text(record: Record) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in record.settings.items()) or "no hyper-parameters"
    departures = f"; departs: {', '.join(record.departures)}" if record.departures else ""
    return f"{record.task} {record.algorithm} seed {record.seed}: {settings}{departures}; result {record.result_sha256}"

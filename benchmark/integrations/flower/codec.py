"""Visits and what comes back of them as Flower's records: plain values and encoded messages, never code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord

from benchmark.core.api import Phase
from benchmark.core.backends import ClientJob, ClientResult
from benchmark.core.client.local_training import Work
from benchmark.core.errors import BenchmarkError, Diverged
from benchmark.core.storage import serialization
from benchmark.experiments.cell import Cell, Prepared


def order(cell: Cell, ready: Prepared, copies: bool = False, token: str = "") -> ConfigRecord:
    """What a node must know of a cell.

    copies: send a copy of every new memory along, for the judge
    token: names the run, and its folder of memories on the node
    """
    text = json.dumps(asdict(cell), sort_keys=True, default=str)
    return ConfigRecord({"cell": text, "identity": ready.identity, "copies": copies, "token": token})


def cell(order: Mapping[str, Any]) -> Cell:
    """The cell of an order."""
    return Cell(**json.loads(order["cell"]))


def visit(job: ClientJob, kept: Sequence[str]) -> ConfigRecord:
    """A visit; kept: files of the client's memories that the server may still come back to."""
    return ConfigRecord({
        "client": job.client, "phase": job.phase.name, "round": job.round, "number": job.number,
        "message": job.message, "memory_in": job.memory_in.name if job.memory_in else "",
        "memory_out": job.memory_out.name, "evaluate": job.evaluate, "kept": list(kept),
    })  # fmt: skip


def job(record: Mapping[str, Any], phases: Sequence[Phase], folder: Path) -> ClientJob:
    """The visit again; folder: of the memories on this node."""
    phase = next(phase for phase in phases if phase.name == record["phase"])
    memory_in = folder / Path(record["memory_in"]).name if record["memory_in"] else None
    return ClientJob(
        record["client"], phase, record["round"], record["number"], record["message"], memory_in,
        folder / Path(record["memory_out"]).name, record["evaluate"],
    )  # fmt: skip


def visited(result: ClientResult, memory: bytes) -> ConfigRecord:
    """What comes back; memory: a copy for the judge, or nothing."""
    return ConfigRecord({
        "upload": result.upload.data, "names": list(result.upload.payload),
        "sizes": list(result.upload.payload.values()), "has_memory": result.has_memory,
        "accuracies": list(result.accuracies or ()), "memory": memory, "steps": result.work.steps,
        "streams": list(result.work.images), "images": list(result.work.images.values()),
    })  # fmt: skip


def result(record: Mapping[str, Any]) -> ClientResult:
    """What came back."""
    payload = dict(zip(record["names"], record["sizes"], strict=True))
    accuracies: Any = tuple(record["accuracies"]) or None
    upload = serialization.EncodedMessage(record["upload"], payload)
    work = Work(record["steps"], dict(zip(record["streams"], record["images"], strict=True)))
    return ClientResult(upload, record["has_memory"], accuracies, work)


def failure(error: BenchmarkError) -> ConfigRecord:
    """A failure as plain words."""
    return ConfigRecord({
        "message": error.message, "where": error.where, "hint": error.hint, "user": error.user,
        "diverged": isinstance(error, Diverged),
    })  # fmt: skip


def error(record: Mapping[str, Any]) -> BenchmarkError:
    """The exception again."""
    if record["diverged"]:
        return Diverged(record["message"], where=record["where"])
    return BenchmarkError(record["message"], where=record["where"], hint=record["hint"], user=record["user"])

"""The ServerApp: runs a cell whose clients live on Flower's nodes, and writes its record."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from benchmark.core.client.federation import Federation
from benchmark.experiments.cell import Cell, Prepared, home
from benchmark.experiments.run import Observer, run
from benchmark.integrations.flower.backend import FlowerBackend
from benchmark.integrations.flower.messaging import Post
from benchmark.records.record import Record


def serve(
    grid: Grid, cell: Cell, results: Path, observer: Observer, limit: float, ended: threading.Event, replace: bool
) -> Record:
    """Run a cell, or resume it, over a grid of nodes; a finished one is read.

    limit, ended: see `Post`; replace: see `run.run`. Raises BenchmarkError, also for a node that is lost.
    """
    backends: list[FlowerBackend] = []

    def make(ready: Prepared, federation: Federation) -> FlowerBackend:
        backends.append(FlowerBackend(Post(grid, limit, ended), cell, ready, federation))
        return backends[0]

    record = run(cell, results, observer=observer, make=make, replace=replace)
    for backend in backends:
        backend.forget()
    return record


def account(record: Record, results: Path) -> list[dict[str, Any]]:
    """Bytes of a run per direction: counted payload and wire, and what Flower moved; none if it did not run."""
    path = (results / record.path).with_suffix(".run.json")
    moved = json.loads(path.read_text(encoding="utf-8")).get("moved") if path.exists() else None
    if not moved or record.result is None:
        return []
    counted = record.result.bytes
    return [
        {"bytes": "down", "payload": counted.down, "wire": counted.down_wire, "moved by Flower": moved["down"]},
        {"bytes": "up", "payload": counted.up, "wire": counted.up_wire, "moved by Flower": moved["up"]},
        {"bytes": "copies for the judge", "payload": None, "wire": None, "moved by Flower": moved["copies"]},
    ]


def main(grid: Grid, context: Context) -> None:
    """What `flwr run` starts; the app's pyproject.toml lists what may be configured."""
    config: dict[str, Any] = dict(context.run_config)
    settings = dict(text.split("=", 1) for text in config["set"].split())
    cell = Cell(config["task"], config["method"], config["seed"], settings, config["rounds"] or None)
    results = home(cell, Path(config["out"]) if config["out"] else None)
    record = serve(grid, cell, results, _line, config["limit"], threading.Event(), not config["out"])
    print(f"record: {results / record.path}  result_sha256: {record.result_sha256}", flush=True)
    for row in account(record, results):
        _line(row)


def _line(event: dict[str, Any]) -> None:
    print(json.dumps(event), flush=True)


app = ServerApp()
app.main()(main)

"""Flower's simulation engine: server and nodes on this machine, the nodes' work spread over Ray's processes."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import ray
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from benchmark.core.processes import cores
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import Observer
from benchmark.integrations.flower import client_app
from benchmark.integrations.flower.server_app import serve
from benchmark.records.record import Record

LIMIT = 3600.0  # seconds for a round: processes of this machine do not get lost one by one


def simulate(
    cell: Cell, results: Path, *, nodes: int, observer: Observer = lambda event: None, replace: bool = False
) -> Record:
    """Run a cell, or resume it, in Flower's simulation engine, on a number of virtual nodes; see `run.run`."""
    cell.prepare()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    done: list[Record] = []
    ended = threading.Event()

    def main(grid: Grid, context: Context) -> None:
        done.append(serve(grid, cell, results, observer, LIMIT, ended, replace))

    app = ServerApp()
    app.main()(main)
    config = {"init_args": {"num_cpus": min(nodes, cores())}, "client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    try:
        run_simulation(app, client_app.app, nodes, backend_config=config)
    finally:
        ended.set()
        ray.shutdown()
    return done[0]

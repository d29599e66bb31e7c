"""What a machine with an accelerator is used for: checks, measurements, then cells until its time is over.

`python -m benchmark.profiling.gpu --minutes 10`, or `make gpu`. It needs Python with the packages of docs/gpu.md and
the data; no network and no DVC. It may be ended at any time, by its clock or by SIGTERM: records are whole or not
there, and the same command goes on with cells that were interrupted.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.core.storage.atomic_files import write_atomic
from benchmark.experiments import executors
from benchmark.experiments.cell import Cell
from benchmark.experiments.cost_model import CostModel, measured
from benchmark.experiments.local_executor import LocalExecutor
from benchmark.experiments.planner import costs, plan, with_available_data
from benchmark.experiments.progress import watch
from benchmark.experiments.workload import Workload
from benchmark.paths import RESULTS, ROOT
from benchmark.records.environment import environment
from benchmark.records.index import index_with_live_methods

W = "paper-fedntd-t1-cifar10-s2"
TABLE_2 = "paper-feddf-t2-cifar10-a1"
QUICK = "digits-shards"
SHARE = 0.4  # of the time that measurements may take; cells get the rest
Measurement = dict[str, Any]


class TimeUp(BaseException):
    """The time is over, or somebody asked the process to end; no `except Exception` on the way may take it."""


def measurements(device: str, small: bool) -> list[Measurement]:
    """What is measured, worth most first; small: for a processor, in seconds."""
    on_gpu, task, rounds = device.startswith("cuda"), QUICK if small else W, 4 if small else 12
    entries: list[Measurement] = [
        {"kind": "agreement", "method": method, "task": QUICK, "rounds": 4 if small else 40}
        for method in ("fedavg", "fedntd")
    ]
    timed: list[Measurement] = [
        {"kind": "rounds", "method": method, "task": task, "rounds": rounds, "precision": precision}
        for precision in (("fp32", "tf32", "bf16") if on_gpu else ("fp32", "bf16"))
        for method in (("fedavg",) if small else ("fedavg", "fedntd", "scaffold"))
    ]
    entries += timed
    if not small:
        entries.append({"kind": "feddf", "task": TABLE_2, "steps": 100})
    if on_gpu:
        entries += [{**entry, "graphs": True} for entry in timed]
    return [{**entry, "device": device} for entry in entries]


def measure(entries: Sequence[Measurement], path: Path, facts: dict[str, Any], deadline: float) -> list[Measurement]:
    """Take measurements in a process of their own, and write all that is known after each.

    A process that dies costs the measurement that it was at; those that no time is left for say so.
    """
    done: list[Measurement] = []
    while len(done) < len(entries) and time.monotonic() < deadline:
        rest = list(entries[len(done) :])
        for found in islice(_lines(rest, deadline), 1, None):
            done.append({**entries[len(done)], **found})
            print(json.dumps(done[-1]), flush=True)
            _write(path, facts, done)
    done += [{**entry, "failed": "no time was left"} for entry in entries[len(done) :]]
    _write(path, facts, done)
    return done


def _lines(entries: list[Measurement], deadline: float) -> Generator[dict[str, Any], None, None]:
    """{} when a process has started, its results, and why there is none of the measurement at which it died."""
    command = [sys.executable, "-m", "benchmark.profiling.device_rounds", json.dumps(entries)]
    count = 0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        clock = threading.Timer(max(0.0, deadline - time.monotonic()), process.terminate)
        clock.start()
        try:
            yield {}
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("{"):
                    count += 1
                    yield json.loads(line)
            process.wait()
        finally:
            clock.cancel()
            process.terminate()
    if count < len(entries):
        late = time.monotonic() >= deadline
        yield {"failed": "no time was left" if late else f"its process ended with exit code {process.returncode}"}


def side_by_side(entry: Measurement, widths: Sequence[int], deadline: float) -> dict[str, float]:
    """Rounds a second of so many processes at once on the device, all of them together."""
    rates: dict[str, float] = {}
    for width in widths:
        with ExitStack() as stack:
            readers = [stack.enter_context(closing(_lines([entry], deadline))) for _ in range(width)]
            for reader in readers:
                next(reader)  # starts its process
            found = [next(reader) for reader in readers]
        if all("seconds" in result for result in found):
            rates[str(width)] = round(sum(1 / result["seconds"] for result in found), 3)
    return rates


def _write(path: Path, facts: dict[str, Any], done: list[Measurement]) -> None:
    text = json.dumps({**facts, "measurements": done}, indent=1)
    write_atomic(path, text + "\n", sync=False)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeUp after so many seconds, or on SIGTERM."""

    def end(*_: Any) -> None:
        raise TimeUp

    before = {number: signal.signal(number, end) for number in (signal.SIGALRM, signal.SIGTERM)}
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def train(device: str, results: Path, width: int, graphs: bool, **filters: Any) -> None:
    """Run cells in the order of the campaign, several side by side, until all are done or the time is over."""
    index = index_with_live_methods(results)
    cost = CostModel(measured(RESULTS), Workload(index.tasks))
    cells = [job for job in plan(index, cost=cost, **filters) if isinstance(job, Cell)]
    ready, lacking = with_available_data(cells, index)
    for name, why in lacking.items():
        print(f"cells that need {name} must wait: {why}")
    on_gpu = device.startswith("cuda")
    placed = [
        replace(job, backend="stacked", device=device, graphs=graphs and on_gpu)
        for job in ready
        if isinstance(job, Cell)
    ]
    with watch(costs(placed, index, cost)) as view:
        executors.run(placed, LocalExecutor(results, width), view)


def main(
    minutes: Annotated[float, typer.Option(help="How long, at most.")] = 10,
    device: Annotated[str, typer.Option(help="A torch device.")] = "cuda",
    tier: Annotated[list[str] | None, typer.Option(help="quick, lite or paper; may be repeated.")] = None,
    tasks: Annotated[str, typer.Option(metavar="A,B", help="Only these.")] = "",
    methods: Annotated[str, typer.Option(metavar="A,B", help="Only these.")] = "",
    out: Annotated[Path, typer.Option(help="Folder of records.")] = RESULTS,
    processes: Annotated[int, typer.Option(help="Cells side by side; 0 takes what was measured to be fastest.")] = 0,
    skip_measurements: Annotated[bool, typer.Option("--skip-measurements", help="Only run cells.")] = False,
    small: Annotated[bool, typer.Option("--small", help="Short measurements, for a processor.")] = False,
) -> None:
    """Check and measure a device, then run cells on it until the time is over."""
    started = time.monotonic()
    path, graphs = out / "speed" / "gpu.json", False
    filters = {"tiers": tier or ["paper"], "tasks": _names(tasks), "methods": _names(methods)}
    try:
        with time_limit(60 * minutes):
            if not skip_measurements:
                deadline = started + 60 * minutes * SHARE
                facts = environment(command="make gpu", workers=1, seconds=0, device=_device_name(device))
                done = measure(measurements(device, small), path, facts, deadline)
                graphs = graphs_pay(done)
                entry = next(entry for entry in measurements(device, small) if entry["kind"] == "rounds")
                rates = side_by_side({**entry, "graphs": graphs}, (1, 2) if small else (1, 2, 4), deadline)
                _write(path, {**facts, "rounds_per_second": rates}, done)
                processes = processes or int(max(rates, key=lambda width: rates[width], default=1))
            train(device, out, processes or 2, graphs, **filters)
    except TimeUp:
        print(f"the time is over after {(time.monotonic() - started) / 60:.1f} minutes; the same command goes on")


def graphs_pay(done: Sequence[Measurement]) -> bool:
    """Whether graphs worked wherever they were measured, agreed with steps without them, and were faster."""
    timed = {(e["method"], e["precision"], bool(e.get("graphs"))): e for e in done if e["kind"] == "rounds"}
    pairs = [(timed[method, precision, False], e) for (method, precision, graphs), e in timed.items() if graphs]
    return bool(pairs) and all(_as_good_and_faster(plain, graph) for plain, graph in pairs)


def _as_good_and_faster(plain: Measurement, graph: Measurement) -> bool:
    if "seconds" not in plain or "seconds" not in graph:
        return False
    return bool(graph["seconds"] < plain["seconds"] and abs(graph["accuracy"] - plain["accuracy"]) < 0.02)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


if __name__ == "__main__":
    typer.run(main)

"""Measurements of cells on a device, each in one process: `python -m benchmark.profiling.device_rounds '<JSON list>'`.

Every entry of the list is a measurement, `{"kind": ..., ...}`; its result is one line of JSON on standard output, so
that a process which dies has said what it knows.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from benchmark.core.errors import explain
from benchmark.core.tasks import task as tasks
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import run

WARM_UP = 2  # rounds that are not counted: kernels are chosen, graphs recorded, images copied
HEADLINE = 200  # rounds of workload W


def agreement(device: str, method: str, task: str, rounds: int) -> dict[str, Any]:
    """The same cell in the loop, on the device, and on the device again.

    Returns:
        The largest difference of an evaluation's accuracy between loop and device, and whether the device repeats the
        bits of all numbers of a record.
    """
    stacked = Cell(task, method, rounds=rounds, backend="stacked", device=device)
    loop, first, second = (_result(cell) for cell in (Cell(task, method, rounds=rounds), stacked, stacked))
    pairs = zip(loop["evaluations"], first["evaluations"], strict=True)
    gap = max(abs(a["accuracy"] - b["accuracy"]) for a, b in pairs)
    return {"accuracy_gap": round(gap, 6), "repeats_bits": first == second, "accuracy": first["accuracy"]}


def rounds(device: str, method: str, task: str, rounds: int, precision: str, graphs: bool = False) -> dict[str, Any]:
    """Seconds of a round with an evaluation after it, and of workload W's 200."""
    options: dict[str, Any] = {"precision": precision, "device": device, "graphs": graphs}
    clock, result = _timed(task, method, {"evaluate_every": 1, "rounds": rounds}, **options)
    seconds = (clock[-1] - clock[WARM_UP - 1]) / (len(clock) - WARM_UP)
    times = {"seconds": round(seconds, 4), "seconds_200": round(HEADLINE * seconds, 1), "first": round(clock[0], 2)}
    return {**times, "accuracy": result["accuracy"]}


def feddf(device: str, task: str, steps: int) -> dict[str, Any]:
    """Seconds of a round of a FedDF task, put together from short rounds: a local epoch, and a step of distillation."""
    full = tasks.load(task)
    distillation = full.methods["feddf"]["steps"]
    one, two, longer = (
        _short_round(device, task, epochs, few) for epochs, few in ((1, steps), (2, steps), (1, 3 * steps))
    )
    epoch, step = max(two - one, 0.0), max(longer - one, 0.0) / (2 * steps)
    whole = one + epoch * (full.train.epochs - 1) + step * (distillation - steps)
    return {"seconds": round(whole, 2), "local_epoch": round(epoch, 3), "distillation_step": round(step, 6)}


def _short_round(device: str, task: str, epochs: int, steps: int) -> float:
    """Seconds of one round with fewer local epochs and fewer steps of distillation."""
    settings = {"steps": steps, "check": steps}
    train = tasks.load(task).train.model_dump(mode="json") | {"epochs": epochs}
    clock, _ = _timed(task, "feddf", {"rounds": 2, "train": train}, settings=settings, device=device)
    return clock[-1] - clock[0]  # the second round: the first one warms up


def _timed(task: str, method: str, fields: dict[str, Any], **cell: Any) -> tuple[list[float], dict[str, Any]]:
    """Seconds at the end of every round of a stacked cell on a task with other fields, and its result."""
    content = yaml.safe_load((tasks.FOLDER / f"{task}.yaml").read_text(encoding="utf-8")) | fields
    clock: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{task}.yaml")
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return clock, _result(Cell(str(path), method, backend="stacked", **cell), clock)


def _result(cell: Cell, clock: list[float] | None = None) -> dict[str, Any]:
    """The result of a cell that leaves no record; clock: gets the seconds at the end of every round."""
    with tempfile.TemporaryDirectory() as folder:
        record = run(
            cell, Path(folder), observer=lambda event: None if clock is None else clock.append(event["seconds"])
        )
    assert record.result is not None, record.reason
    return record.result.model_dump(mode="json")


KINDS: dict[str, Callable[..., dict[str, Any]]] = {"agreement": agreement, "rounds": rounds, "feddf": feddf}


def main(entries: list[dict[str, Any]]) -> None:
    """Measure one after another; a measurement that fails says why."""
    for entry in entries:
        arguments = {name: value for name, value in entry.items() if name != "kind"}
        try:
            found = KINDS[entry["kind"]](**arguments)
        except Exception as error:  # whatever a device does not bear; the other measurements go on
            found = {"failed": explain(error)[0]}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

"""Replay of recorded runs: the same data, cohorts and initial weights through this engine and these methods."""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm
from benchmark.core.backends import SerialBackend, WorkerConfig
from benchmark.core.client.federation import Federation
from benchmark.core.client.federation_data import FederationData, IndexedImages
from benchmark.core.errors import BenchmarkError
from benchmark.core.server.rounds import Run
from benchmark.core.tasks.partition_config import Iid
from benchmark.core.tasks.task import Optimiser, Task, Train
from benchmark.core.tree import Tree
from benchmark.replay import losses

NETWORK = "golden"
METHOD = re.compile("[0-9A-Za-z_]+")
Make = Callable[[str, dict[str, Any]], Algorithm]
OFFICIAL = {  # names of parameters in the published code -> our fields; names that are not here are ours already
    "fedavgm": {"avgm_beta": "beta"},
    "scaffold": {"adaptive_divison": "adaptive"},
    "fednova": {"nova_ccvr": "variance_reduction"},
    "feddyn": {"dyn_alpha": "alpha"},
}
QUIRKS: dict[str, dict[str, Any]] = {  # in what the published code departs from the papers
    "scaffold": {"weighted": True},
    "fednova": {"stale": True},
    "feddyn": {"weighted": True},
    "moon": {"newcomer": "initial"},
}


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a golden file."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise BenchmarkError("no such file", where=str(path), hint="give the path of a golden .npz file") from None
    except Exception as error:  # numpy, zipfile and zlib each have their own
        raise BenchmarkError(f"unreadable ({type(error).__name__}: {error})", where=str(path)) from None


def replay(path: Path, make: Make) -> dict[str, Any]:
    """Replay one file.

    make: gives the method of a name with settings of its fields
    Returns algorithm, rounds and max_abs_diff of the global parameters over all rounds.
    """
    arrays = read(path)
    try:
        config = json.loads(str(arrays["config"]))
        if any(name.startswith("proj1_") for name in arrays):
            return losses.replay(arrays, config, make)
        if not METHOD.fullmatch(str(config["algorithm"])):
            raise ValueError(f"{config['algorithm']!r:.60} is no method's name")  # a path would be run
        algorithm = make(config["algorithm"], settings(config))
        _check_types(arrays)
        federation = _federation(arrays, config)
        _check(federation, arrays)
        compared = _compare(federation, algorithm, arrays)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        raise BenchmarkError(f"not a golden file ({type(error).__name__}: {error})", where=str(path)) from None
    return {"algorithm": config["algorithm"], "rounds": config["rounds"], **compared}


def settings(config: dict[str, Any]) -> dict[str, Any]:
    """Fields of our method for a recorded configuration: its parameters by our names, and the code's quirks."""
    name = config["algorithm"]
    given = {OFFICIAL.get(name, {}).get(key, key): value for key, value in config["params"].items()}
    if name == "scaffold":
        given["share"] = config["participation"]
    return {**QUIRKS.get(name, {}), **given}


def _federation(arrays: dict[str, np.ndarray], config: dict[str, Any]) -> Federation:
    count = sum(name.startswith("x_") and name != "x_test" for name in arrays)
    xs, ys = ([arrays[f"{letter}_{i}"] for i in range(count)] for letter in "xy")
    edges = np.cumsum([0, *(len(y) for y in ys)])
    optimiser = Optimiser(
        name="sgd", lr=config["lr"], momentum=config["momentum"], weight_decay=config["weight_decay"],
        decay=config["lr_decay_per_round"],
    )  # fmt: skip
    task = Task(
        name="golden", track="global", tier="paper", dataset="golden", split=Iid(kind="iid"), clients=count,
        cohort=arrays["cohorts"].shape[1], rounds=config["rounds"], networks=(NETWORK,),
        train=Train(epochs=config["local_epochs"], batch=config["batch_size"], optimiser=optimiser),
        evaluate_every=config["rounds"],  # reports must not wait: each is compared with the server as it is then
    )  # fmt: skip
    channels, height, width = arrays["x_test"].shape[1:]
    if config["num_classes"] < 1 or min(height, width) < 2:
        raise ValueError(f"{config['num_classes']} classes of images of {height} x {width} pixels")
    return Federation(task, 0, FederationData(
        private=_rows(np.concatenate(xs), np.concatenate(ys)),
        parts=[np.arange(a, b) for a, b in pairwise(edges)],
        test=_rows(arrays["x_test"], arrays["y_test"]), shape=(channels, height, width), classes=config["num_classes"],
        mean=(0.0,) * channels, std=(1.0,) * channels, cohorts=arrays["cohorts"],
        initial={NETWORK: _model(arrays, "init.")}, order="stored",
    ))  # fmt: skip


def _check_types(arrays: dict[str, np.ndarray]) -> None:
    """Labels and cohorts are whole numbers, images and parameters float32, none is empty: else ValueError."""
    for name, array in arrays.items():
        whole = name == "cohorts" or name.startswith("y_")
        if not whole and not name.startswith(("x_", "init.", "round")):
            continue  # config and test_accuracy: not compared
        if array.dtype.kind not in "iu" if whole else array.dtype != np.float32:
            raise ValueError(f"{name} holds {array.dtype}")
        if not array.size:
            raise ValueError(f"{name} is empty")


def _check(federation: Federation, arrays: dict[str, np.ndarray]) -> None:
    """Refuse what would fail halfway, or be filled up in silence: ValueError says what is wrong."""
    initial, classes = _model(arrays, "init."), federation.data.classes
    expected = federation.model(NETWORK).module.state_dict().keys()
    if initial.keys() != expected:
        raise ValueError(f"init has {sorted(initial)}, the network {sorted(expected)}")
    cohorts = arrays["cohorts"]
    if len(cohorts) < federation.task.rounds or not np.isin(cohorts, range(federation.clients)).all():
        raise ValueError(f"cohorts do not fit {federation.task.rounds} rounds and {federation.clients} clients")
    for name, part in (("y_*", federation.data.private), ("y_test", federation.data.test)):
        if len(part.labels) != len(part.images) or not np.isin(part.labels, range(classes)).all():
            raise ValueError(f"{name} is not one label below {classes} per sample")
    for number in range(1, federation.task.rounds + 1):
        shapes = {name: leaf.shape for name, leaf in _model(arrays, f"round{number}.").items()}
        if shapes != {name: leaf.shape for name, leaf in initial.items()}:
            raise ValueError(f"round{number} has other parameters than init")


def _rows(x: np.ndarray, y: np.ndarray) -> IndexedImages:
    return IndexedImages(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), y, np.arange(len(y)))


def _model(arrays: dict[str, np.ndarray], prefix: str) -> Tree:
    return {k.removeprefix(prefix): torch.from_numpy(v.copy()) for k, v in arrays.items() if k.startswith(prefix)}


def _compare(federation: Federation, algorithm: Algorithm, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    differences: list[float] = []

    def observe(event: dict[str, Any]) -> None:
        expected = _model(arrays, f"round{event['round']}.")
        ours = algorithm.global_model(run.server, NETWORK)
        assert ours is not None
        gaps = trees.map(lambda a, b: (a.double() - b.double()).abs().max(), expected, ours)
        differences.append(float(torch.stack(list(gaps.values())).nan_to_num(float("inf")).max()))

    with tempfile.TemporaryDirectory() as folder:
        backend = SerialBackend(WorkerConfig(lambda _: federation, lambda: algorithm))
        run = Run(federation, algorithm, backend, Path(folder), "golden", observe)
        run.execute()
    return {"max_abs_diff": max(differences)}

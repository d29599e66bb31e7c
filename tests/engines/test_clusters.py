"""Cells and clients elsewhere leave the records of a local run: a Ray cluster of two machines, a queue of submitit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from deployment import free
from ray.cluster_utils import Cluster as Machines
from rich.console import Console

from benchmark.core.backends.ray_backend import RayBackend
from benchmark.core.errors import BenchmarkError
from benchmark.experiments import cluster_executors, executors, run
from benchmark.experiments.cell import Cell
from benchmark.experiments.progress import Lines

BROKEN = """
from dataclasses import dataclass
from benchmark.core.api import Algorithm

@dataclass(frozen=True)
class Broken(Algorithm):
    def aggregate(self, server, uploads, phase, hub, key):
        return 1 / 0
"""
ROOT = Path(__file__).parents[2]
TASK = """
track: global
tier: quick
dataset: digits
split: {kind: shards, shards: 2}
clients: 10
cohort: 4
rounds: 3
networks: [mlp]
train: {epochs: 1, batch: 20, optimiser: {name: sgd, lr: 0.1}}
public: {size: 100}
"""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("task") / "small.yaml"
    file.write_text(TASK)
    return str(file)


@pytest.fixture(scope="module")
def local(task: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What local runs leave."""
    folder = tmp_path_factory.mktemp("local")
    return {method: run.run(Cell(task, method), folder).result_sha256 for method in ("fd", "fedntd", "scaffold")}


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that only leads, and two machines of one core."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Machines()
    try:
        cluster.add_node(num_cpus=0, include_dashboard=False, **ports())
        nodes = [cluster.add_node(num_cpus=1, **ports()) for _ in range(2)]
        yield cluster, nodes
    finally:
        cluster.shutdown()


def ports() -> dict[str, int]:
    """Of a machine's agents. Ray gives up on a machine whose agents take 15 seconds to find ports of their own."""
    kinds = "metrics_agent", "metrics_export", "dashboard_agent_listen", "runtime_env_agent"
    return {f"{kind}_port": free() for kind in kinds}


def spread(cells: list[Cell], place: executors.Executor) -> list[Any]:
    view = Lines(Console(quiet=True), {})
    return executors.run(cells, place, view)


def _crew(address: str, ready: Any, federation: Any) -> RayBackend:
    return RayBackend(
        ready.worker_config(verify=True), ready.identity, address, lambda client: federation.who(client).size
    )


def test_cells_on_two_machines_of_which_one_is_lost(
    task: str, local: dict[str, str], machines: Any, tmp_path: Path
) -> None:
    cluster, nodes = machines
    place = cluster_executors.RayExecutor(tmp_path, cluster.address)
    assert place.width == 2
    begun: list[Cell] = []

    class Saboteur(cluster_executors.RayExecutor):
        """Loses a machine when both are at work."""

        def __init__(self) -> None:
            self.__dict__.update(place.__dict__)

        def ended(self) -> Any:
            if not begun:
                begun.append(Cell(task, "fd"))
                cluster.remove_node(nodes[1], allow_graceful=False)
            return super().ended()

    outcomes = spread([Cell(task, method) for method in local], Saboteur())
    assert {Path(o.cell.algorithm).stem: o.record.result_sha256 for o in outcomes} == local
    assert {path.name for path in tmp_path.glob("small/*/*.json")} == {"0.json", "0.run.json"}


def test_clients_of_a_cohort_on_two_machines(task: str, local: dict[str, str], machines: Any, tmp_path: Path) -> None:
    for method in ("fd", "scaffold"):
        make = partial(_crew, machines[0].address)
        assert run.run(Cell(task, method), tmp_path, make=make).result_sha256 == local[method]


def test_a_method_s_failure_is_its_sentence(task: str, machines: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    place = cluster_executors.RayExecutor(tmp_path, machines[0].address)
    [outcome] = spread([Cell(task, str(tmp_path / "broken.py"))], place)
    assert outcome.record is None and "ZeroDivisionError" in outcome.error and "round 1" in outcome.error


def test_a_queue(task: str, local: dict[str, str], tmp_path: Path) -> None:
    place = cluster_executors.SlurmExecutor(tmp_path / "results", {"timeout_min": 5}, 2, cluster="local")
    outcomes = spread([Cell(task, method) for method in ("fd", "fedntd")], place)
    assert {o.cell.algorithm: o.record.result_sha256 for o in outcomes} == {m: local[m] for m in ("fd", "fedntd")}


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        cluster_executors.RayExecutor(tmp_path, "127.0.0.1:1")


def test_no_queue(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"submitit refuses: .*srun"):
        cluster_executors.SlurmExecutor(tmp_path, {}, 2)

"""Steps as CUDA graphs: what can be tested without a device, and on a device that they agree with steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.core import method_files
from benchmark.core import tree as trees
from benchmark.core.backends import WorkerConfig
from benchmark.core.backends.stacked import StackedBackend
from benchmark.core.backends.stacked_step import CudaGraphStep, StackedStep, Step
from benchmark.core.server.rounds import Run
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import run
from helpers.small_federation import small_federation


class EagerGraph:
    """A recorded graph without a device: replaying takes the step on the memory that was recorded."""

    def __init__(self, step: Step, arguments: Any) -> None:
        self.step, self.arguments = step, arguments

    def replay(self) -> None:
        trees.map(Tensor.copy_, self.arguments[0], trees.copy(self.step(*self.arguments)))


class EagerGraphStep(CudaGraphStep):
    """All of CudaGraphStep but the recording: what it copies where, and what it keeps from step to step."""

    def _record(self, arguments: Any) -> Any:
        return EagerGraph(self.step, arguments)


class EagerGraphBackend(StackedBackend):
    """Stacked, with such steps."""

    def _step(self, *arguments: Any) -> tuple[StackedStep, Step]:
        key = (arguments[0][0], arguments[0][1][arguments[1]])
        if key not in self.steps:
            stacked, _ = super()._step(*arguments)
            self.steps[key] = stacked, EagerGraphStep(stacked)
        return self.steps[key]


@pytest.mark.parametrize("name", ["fedavg", "fedntd", "scaffold", "fd"])
def test_replayed_steps_have_the_bits_of_steps(name: str, tmp_path: Path) -> None:
    # Clients of 7, 5, 4 and 6 images in batches of 4: full batches and shorter ones, so two shapes, each with a graph;
    # in the second round the graphs of the first replay with other parameters, images and contexts.
    algorithm = method_files.make(name)
    federation = small_federation(sizes=(7, 5, 4, 6), cohort=3, rounds=2, epochs=2, momentum=0.9, algorithm=algorithm)
    outcomes = []
    for kind in (StackedBackend, EagerGraphBackend):
        backend = kind(WorkerConfig(lambda _: federation, lambda: algorithm))
        run_ = Run(federation, algorithm, backend, tmp_path / kind.__name__, "small")
        outcomes.append((run_.execute(), dict(trees.walk(run_.server))))
    (plain, server), (replayed, other) = outcomes
    assert plain == replayed and all(torch.equal(leaf, other[name]) for name, leaf in server.items())
    graphs = [len(step.graphs) for _, step in backend.steps.values() if isinstance(step, CudaGraphStep)]
    assert graphs and all(graphs)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="records CUDA graphs, for which it needs a device")
@pytest.mark.parametrize("name", ["fedavg", "fedntd", "scaffold"])
def test_graphs_on_a_device_agree_with_steps_and_repeat_their_bits(name: str, tmp_path: Path) -> None:
    stacked: dict[str, Any] = {"rounds": 4, "backend": "stacked", "device": "cuda"}
    cells = [Cell("digits-shards", name, graphs=graphs, **stacked) for graphs in (False, True, True)]
    plain, graphs, again = (run(cell, tmp_path / str(number)).result for number, cell in enumerate(cells))
    assert plain and graphs and graphs == again
    assert graphs.accuracy == pytest.approx(plain.accuracy, abs=0.02)

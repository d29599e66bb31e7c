"""A worker: the method, the federation and the precision with which jobs run in one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from benchmark.core.api import Algorithm
from benchmark.core.client import evaluate, linear_probe
from benchmark.core.client.evaluate import ClassSums
from benchmark.core.client.federation import Federation
from benchmark.core.data.batches import Stream
from benchmark.core.models.functional import Model
from benchmark.core.storage import serialization
from benchmark.core.tree import Tree


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker is built from; both functions must be picklable."""

    federation: Callable[[Algorithm], Federation]
    algorithm: Callable[[], Algorithm]
    precision: str = "fp32"


class Worker:
    """One per process; keeps networks and memory-mapped data between jobs."""

    def __init__(self, config: WorkerConfig) -> None:
        self.algorithm = config.algorithm()
        self.federation = config.federation(self.algorithm)
        self.precision = config.precision

    def load(self, arch: str, model: bytes) -> tuple[Model, Tree]:
        """The network of an architecture, and its decoded parameters."""
        params = serialization.decode(model)
        assert params is not None
        return self.federation.model(arch), params

    def class_sums(self, model: Model, params: Tree, start: int, stop: int) -> ClassSums:
        """What a model's answers to rows start..stop-1 of the test set add up to."""
        test = self.federation.test
        return evaluate.class_sums(self.logits(model, params, start, stop), test.labels[start:stop], test.classes)

    def logits(self, model: Model, params: Tree, start: int, stop: int) -> Tensor:
        """A model's answers to rows start..stop-1 of the test set, (rows, classes)."""
        test, predict = self.federation.test, self.algorithm.predict
        return evaluate.logits(model, params, test, start, stop, self.precision, predict)

    def placed(self, stream: Stream) -> Stream:
        """The stream where this worker computes."""
        return stream

    def features(self, model: Model, params: Tree, stream: Stream) -> Tensor:
        """The backbone's features (n, width) of a stream's images, for a linear probe."""
        return linear_probe.features(model, params, stream, self.precision)

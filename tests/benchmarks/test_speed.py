"""How long the parts of a round take, beside steps of a bare PyTorch loop timed in the same minutes.

`make speed` measures; the ordinary test run calls each function once and measures nothing.
"""

from __future__ import annotations

import tracemalloc
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.core import method_files, tree
from benchmark.core.api import Phase
from benchmark.core.client import evaluate
from benchmark.core.client.federation import Federation
from benchmark.core.client.local_training import run_client
from benchmark.core.data.augment import Augment
from benchmark.core.data.batches import Stream
from benchmark.core.storage import checkpoint, serialization
from helpers.small_federation import many_clients

pytestmark = pytest.mark.slow

IMAGES = 500
METHODS = ("fedavg", "fedprox", "fedntd", "scaffold", "feddyn", "moon")


@pytest.fixture(scope="session")
def model(federation: Federation) -> tree.Tree:
    """Parameters of the workload's network."""
    return federation.model("cnn_fedntd").init(federation.key)


@pytest.fixture(scope="session")
def stored() -> Stream:
    """A client's stored images with FedNTD's augmentation."""
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    augment = Augment(crop=4, flip=True, cutout=16)
    rows = np.arange(IMAGES)
    pixels, labels = torch.from_numpy(images), torch.from_numpy(rows % 10)
    return Stream(pixels, labels, classes=10, mean=(0.5,) * 3, std=(0.25,) * 3, augment=augment)


@pytest.mark.parametrize("method", METHODS)
def test_local_training(benchmark: Any, federation: Federation, model: tree.Tree, method: str) -> None:
    algorithm, phase = method_files.make(method), Phase("train", 1)
    site = federation.site(0, phase, 0)
    server = algorithm.init_server(federation.hub, federation.key)
    message = algorithm.download(server, site.who, phase, federation.key)
    client = algorithm.init_client(site, federation.key)

    def work() -> int:
        return len(run_client(algorithm, site, phase, message, client, federation.key, "fp32").params)

    assert benchmark(work) == len(model)


def test_augmentation(benchmark: Any, federation: Federation, stored: Stream) -> None:
    batches = benchmark(lambda: list(stored.batches(federation.key, 50, 10)))
    assert [tuple(batch.x.shape) for batch in batches] == [(50, 3, 32, 32)] * 10


def test_encoding_and_decoding(benchmark: Any, model: tree.Tree) -> None:
    decoded = benchmark(lambda: serialization.decode(serialization.encode({"model": model}, "benchmark").data))
    assert all(torch.equal(decoded["model"][name], leaf) for name, leaf in model.items())


def test_aggregation(benchmark: Any, model: tree.Tree) -> None:
    mean = benchmark(tree.mean, [model] * 10, list(range(1, 11)))
    assert all(torch.allclose(mean[name], leaf) for name, leaf in model.items())


def test_evaluation(benchmark: Any, federation: Federation, model: tree.Tree) -> None:
    net, data = federation.model("cnn_fedntd"), federation.private(0)
    logits = benchmark(evaluate.logits, net, model, data, 0, data.size, "fp32")
    assert 0 <= sum(evaluate.class_sums(logits, data.labels, data.classes).hits) <= data.size


def test_checkpoint(benchmark: Any, tmp_path: Path, model: tree.Tree) -> None:
    path = tmp_path / "checkpoint.safetensors"

    def there_and_back() -> tree.Tree:
        checkpoint.save(path, model, {"done": 1})
        return checkpoint.load(path)[0] or {}

    found = benchmark(there_and_back)
    assert all(torch.equal(found[name], leaf) for name, leaf in model.items())


@pytest.mark.parametrize("clients", [1_000, 1_000_000])
def test_a_round_of_100_clients_among(benchmark: Any, clients: int, tmp_path: Path) -> None:
    folders = (tmp_path / str(number) for number in count())
    ended = benchmark(lambda: many_clients(clients, 1, next(folders)))
    assert len(ended.memories.versions) == 100
    if benchmark.enabled:
        tracemalloc.start()
        many_clients(clients, 1, next(folders))
        benchmark.extra_info["peak_megabytes"] = round(tracemalloc.get_traced_memory()[1] / 1e6, 1)
        tracemalloc.stop()

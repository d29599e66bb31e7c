"""How fast the parts of a round are, as shares of a bare PyTorch loop timed in the same minutes.

`pytest tests/benchmarks --benchmark-enable --benchmark-json=FILE` measures; the ordinary test run calls each function
once and measures nothing. The workload is FedNTD's: its network on 3 x 32 x 32 images, batches of 50.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import small_federation

from benchmark import catalog
from benchmark.core import checkpoint, evaluate, tree, wire
from benchmark.core.api import Phase
from benchmark.core.data.augment import Augment
from benchmark.core.data.streams import Stream
from benchmark.core.federation import Federation
from benchmark.core.local import visit
from benchmark.profile import bare

IMAGES = 200
METHODS = ("fedavg", "fedprox", "fedntd", "scaffold", "feddyn", "moon")
Timer = Callable[..., Any]


@pytest.fixture(scope="module")
def federation() -> Federation:
    """One client with the stored images of FedNTD's workload."""
    return small_federation(
        sizes=(IMAGES,), cohort=1, classes=10, batch=50, momentum=0.9, networks=("cnn_fedntd",), shape=(3, 32, 32)
    )


@pytest.fixture(scope="module")
def model(federation: Federation) -> tree.Tree:
    """Parameters of the workload's network."""
    return federation.model("cnn_fedntd").init(federation.key)


@pytest.fixture(scope="module")
def stored() -> Stream:
    """Stored images with FedNTD's augmentation."""
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    augment = Augment(crop=4, flip=True, cutout=16)
    rows = np.arange(IMAGES)
    pixels, labels = torch.from_numpy(images), torch.from_numpy(rows % 10)
    return Stream(pixels, labels, classes=10, mean=(0.5,) * 3, std=(0.25,) * 3, augment=augment)


@pytest.mark.parametrize("method", METHODS)
def test_local_training(benchmark: Timer, federation: Federation, model: tree.Tree, method: str) -> None:
    algorithm, phase = catalog.make(method), Phase("train", 1)
    site = federation.site(0, phase, 0)
    server = algorithm.init_server(federation.hub, federation.key)
    message = algorithm.download(server, site.who, phase, federation.key)
    client = algorithm.init_client(site, federation.key)

    def work() -> int:
        return len(visit(algorithm, site, phase, message, client, federation.key, "fp32").params)

    assert benchmark(work) == len(model)
    if benchmark.enabled:  # type: ignore[attr-defined]
        started = time.process_time()
        work()
        share = IMAGES / (time.process_time() - started) / bare(federation, "fp32")
        benchmark.extra_info["share_of_bare_loop"] = round(share, 3)  # type: ignore[attr-defined]


def test_augmentation(benchmark: Timer, federation: Federation, stored: Stream) -> None:
    batches = benchmark(lambda: list(stored.batches(federation.key, 50, 4)))
    assert [tuple(batch.x.shape) for batch in batches] == [(50, 3, 32, 32)] * 4


def test_encoding_and_decoding(benchmark: Timer, model: tree.Tree) -> None:
    decoded = benchmark(lambda: wire.decode(wire.encode({"model": model}, "benchmark").data))
    assert all(torch.equal(decoded["model"][name], leaf) for name, leaf in model.items())


def test_aggregation(benchmark: Timer, model: tree.Tree) -> None:
    mean = benchmark(tree.mean, [model] * 10, list(range(1, 11)))
    assert all(torch.allclose(mean[name], leaf) for name, leaf in model.items())


def test_evaluation(benchmark: Timer, federation: Federation, model: tree.Tree) -> None:
    net, data = federation.model("cnn_fedntd"), federation.private(0)
    hits = benchmark(evaluate.correct, net, model, data, 0, IMAGES, "fp32")
    assert 0 <= sum(hits) <= IMAGES


def test_checkpoint(benchmark: Timer, tmp_path: Path, model: tree.Tree) -> None:
    path = tmp_path / "checkpoint.safetensors"

    def there_and_back() -> tree.Tree:
        checkpoint.save(path, model, {"done": 1})
        return checkpoint.load(path)[0] or {}

    found = benchmark(there_and_back)
    assert all(torch.equal(found[name], leaf) for name, leaf in model.items())

"""Benchmarks: what they are measured on, the bare loop beside each of them, and what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from benchmark.core.client.federation import Federation
from benchmark.profiling.time_breakdown import plain_training
from benchmark.records.environment import environment
from helpers.small_federation import small_federation

BATCH = 50


def pytest_ignore_collect(collection_path: Any, config: pytest.Config) -> bool | None:
    """Whole rounds take minutes: they run only where something is measured."""
    return True if collection_path.name == "test_rounds.py" and not config.getoption("benchmark_enable") else None


@pytest.fixture(scope="session")
def federation(pytestconfig: pytest.Config) -> Federation:
    """One client of FedNTD's CIFAR-10 runs: its network, its 500 images, its 5 epochs; less if nothing is measured."""
    size, epochs = (500, 5) if pytestconfig.getoption("benchmark_enable") else (100, 1)
    return small_federation(
        sizes=(size,), cohort=1, classes=10, batch=BATCH, epochs=epochs, momentum=0.9, networks=("cnn_fedntd",),
        shape=(3, 32, 32),
    )  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> None:
    """Unlike tests, measurements need the user's data."""


@pytest.fixture(autouse=True)
def beside_the_bare_loop(benchmark: Any, federation: Federation) -> Iterator[None]:
    """Adds the median as a number of training steps of a bare PyTorch loop, timed before and after the benchmark."""
    torch.set_num_threads(1)
    if not benchmark.enabled or benchmark.name.startswith("test_whole_rounds"):  # which time bare loops themselves
        yield
        return
    before = plain_training(federation, "fp32")
    yield
    rate = (before + plain_training(federation, "fp32")) / 2
    benchmark.extra_info["bare_images_per_second"] = round(rate)
    benchmark.extra_info["bare_steps"] = round(benchmark.analysis.stats.stats.median * rate / BATCH, 3)


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """What is stored names the kind of machine, never the machine, and no single timing."""
    entries = [_entry(entry) for entry in output_json["benchmarks"]]
    facts = environment(command="make speed", workers=1, seconds=0.0)
    output_json.clear()
    output_json.update(date=facts["date"], environment=facts["environment"], benchmarks=entries)


def _entry(measured: dict[str, Any]) -> dict[str, Any]:
    if "share" in measured["extra_info"]:  # whole rounds bring their own clock
        return {"name": measured["name"], **measured["extra_info"]}
    median = round(measured["stats"]["median"], 6)
    return {"name": measured["name"], "median_cpu_seconds": median, **measured["extra_info"]}

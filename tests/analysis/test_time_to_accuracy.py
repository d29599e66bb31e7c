"""The time axis: every factor against a hand-made calculation, and the columns that boards get."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.analysis import tables, time_to_accuracy
from benchmark.analysis.cost import client_images
from benchmark.analysis.time_to_accuracy import Profile, clock, expected_slowest, forward_operations, largest_share
from benchmark.core.tasks import task as tasks
from benchmark.records.index import ResultsIndex
from benchmark.records.record import PhaseBudget
from helpers.handmade_records import TASK, example_results, make, result

ROOT = Path(__file__).parents[2]
PLAIN = Profile(download=1e6, upload=0.5e6, speed=1e9, latency=2)


def test_equal_devices_take_one_unit() -> None:
    assert expected_slowest(5, PLAIN) == pytest.approx(1, abs=1e-9)


def test_one_straggler_among_five_sets_the_pace() -> None:
    profile = Profile(1, 1, 1, 0, stragglers=0.1, slowdown=3)
    assert expected_slowest(1, profile) == pytest.approx(1 + 0.1 * 2)
    assert expected_slowest(5, profile) == pytest.approx(1 + (1 - 0.9**5) * 2)  # 1.81902


def test_a_device_that_drops_out_starts_again() -> None:
    profile = Profile(1, 1, 1, 0, dropout=0.2)
    assert expected_slowest(1, profile) == pytest.approx(1 / (1 - 0.2))  # the mean of a geometric distribution
    # of two: 2 * 1 / (1 - d) - 1 / (1 - d^2), the expected minimum taken from the sum
    assert expected_slowest(2, profile) == pytest.approx(2 / 0.8 - 1 / 0.96)


def test_stragglers_drop_out_as_well() -> None:
    profile = Profile(1, 1, 1, 0, stragglers=0.25, slowdown=2.5, dropout=0.1)
    assert expected_slowest(1, profile) == pytest.approx((1 + 0.25 * 1.5) / 0.9)  # independent: a product of means


def test_the_largest_client_of_a_cohort() -> None:
    # cohorts of two out of 1, 2, 6: the largest is 2, 6 or 6; their mean is 14 / 3, that of a client 3
    assert largest_share((6, 1, 2), 2) == pytest.approx(14 / 9)
    assert largest_share((5, 5, 5), 2) == pytest.approx(1) and largest_share((), 2) == 1
    assert largest_share((6, 1, 2), 3) == pytest.approx(2)


def test_operations_of_a_small_convolutional_network_by_hand() -> None:
    task = tasks.load("fmnist-shards")
    convolutions = 28 * 28 * 16 * 9 * 2 + 14 * 14 * 32 * 16 * 9 * 2
    linear = (7 * 7 * 32 * 128 + 128 * 10) * 2
    assert task.networks == ("cnn_lite",) and forward_operations(task) == convolutions + linear


def test_the_clock_of_a_record_without_a_budget() -> None:
    task = tasks.load(TASK).model_copy(update={"cohort": 2})
    record = make("fedavg", 0, 0.5)
    times = clock(record, task, [], PLAIN)
    assert times is not None and len(times) == 40
    # 3 MB up and 5 MB down, in 40 rounds of two devices: 37.5 kB up at 0.5 MB/s, 62.5 kB down at 1 MB/s
    exchange = 2 + 37_500 / 0.5e6 + 62_500 / 1e6
    operations = forward_operations(task)
    assert operations is not None
    images = 5 * client_images(task)  # epochs
    assert times[0] == pytest.approx(exchange + 3 * operations * images / 1e9)
    assert times[-1] == pytest.approx(40 * times[0])


def test_a_budget_says_what_each_phase_took() -> None:
    task = tasks.load(TASK)
    facts = {"steps": 0, "most_steps": 0, "most_images": 0, "server": {}}
    budget = [
        PhaseBudget(phase="warm", rounds=1, visits=20, images={"private": 4000}, **facts),
        PhaseBudget(phase="train", rounds=39, visits=195, images={"private": 1950, "public": 1950}, **facts),
    ]
    record = make("fedavg", 0, result=result(0.5) | {"budget": [phase.model_dump() for phase in budget]})
    silent = Profile(download=1e30, upload=1e30, speed=1e9, latency=0)
    times = clock(record, task, [], silent)
    operations = forward_operations(task)
    assert times is not None and operations is not None and len(times) == 40
    assert times[0] == pytest.approx(3 * operations * 200 / 1e9)
    assert times[1] - times[0] == pytest.approx(3 * operations * 20 / 1e9)


def test_boards_say_when_every_seed_got_there(tmp_path: Path) -> None:
    results = example_results(tmp_path)
    index = ResultsIndex.load(results)
    task = index.tasks[TASK]
    reached = [make("fedavg", seed, result=result(0.52, targets={0.5: 20})) for seed in (0, 1)]
    row = time_to_accuracy.minutes_to(index, task, reached)
    times = time_to_accuracy.clocks(index, task, reached, time_to_accuracy.PROFILES["phone"])
    assert row["minutes_to_50_phone"] == pytest.approx(times[0][19] / 60, abs=1e-3)
    assert row["minutes_to_50_hospital"] < row["minutes_to_50_laptop"] < row["minutes_to_50_phone"]
    assert row["minutes_to_70_phone"] is None
    late = [*reached, make("fedavg", 2, 0.4)]
    assert time_to_accuracy.minutes_to(index, task, late)["minutes_to_50_phone"] is None
    assert "minutes_to_50_phone" in tables.table(index, task)


@pytest.mark.slow
def test_operations_are_those_that_torch_counts() -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmark.core.data.manifest import manifest
    from benchmark.core.models import build

    boards = [tasks.load(path.stem) for path in (ROOT / "results" / "tables").glob("*.csv")]
    pairs = {(name, task.dataset) for task in boards for name in task.networks}
    pairs |= {(name, dataset) for name, by_dataset in time_to_accuracy._operations().items() for dataset in by_dataset}
    counted: dict[str, dict[str, int]] = {}
    for name, dataset in sorted(pairs):
        facts = manifest()[dataset]
        height, width, channels = facts.shape
        with torch.device("meta"):
            network = build.build(name, (channels, height, width), len(facts.classes))
            with FlopCounterMode(display=False) as counter:
                network(torch.zeros(2, channels, height, width))
        counted.setdefault(name, {})[dataset] = counter.get_total_flops() // 2
    assert time_to_accuracy._operations() == counted, "write these into benchmark/analysis/operations.json"

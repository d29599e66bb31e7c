"""The session on a machine with an accelerator, on the processor: small, and whole wherever it ends."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmark.profiling import gpu
from benchmark.records import store


def session(out: Path, **options: Any) -> None:
    """A session on the processor that runs FedAvg on the digits after its measurements."""
    fields = {"minutes": 60, "tier": ["quick"], "tasks": "digits-shards", "methods": "fedavg", "processes": 2}
    gpu.main(device="cpu", out=out, small=True, **({"skip_measurements": False} | fields | options))


@pytest.mark.slow
def test_a_small_session_checks_measures_and_leaves_records(tmp_path: Path) -> None:
    session(tmp_path)
    facts = json.loads((tmp_path / "speed" / "gpu.json").read_text())
    kinds = [(entry["kind"], entry["method"], entry.get("precision")) for entry in facts["measurements"]]
    checks, timed = facts["measurements"][:2], facts["measurements"][2:]
    agreements = [("agreement", "fedavg", None), ("agreement", "fedntd", None)]
    assert kinds == [*agreements, ("rounds", "fedavg", "fp32"), ("rounds", "fedavg", "bf16")]
    # loop and stack agree up to rounding: of 360 test images a handful may change sides
    assert all(entry["accuracy_gap"] < 0.02 and entry["repeats_bits"] for entry in checks)
    assert all(entry["seconds_200"] == pytest.approx(200 * entry["seconds"], abs=0.1) for entry in timed)
    assert list(facts["rounds_per_second"]) == ["1", "2"]
    records = [store.read(tmp_path / "digits-shards" / "fedavg" / f"{seed}.json") for seed in range(3)]
    assert [record.backend for record in records] == ["stacked"] * 3 and all(record.result for record in records)


@pytest.mark.slow
def test_time_that_is_over_leaves_no_part_of_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session(tmp_path, minutes=0.005, skip_measurements=True)
    assert "the time is over" in capsys.readouterr().out
    assert not list(tmp_path.glob("*/*/*.json"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGALRM])
def test_a_signal_ends_what_runs_and_leaves_handlers_as_they_were(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(gpu.TimeUp), gpu.time_limit(600):
        os.kill(os.getpid(), number)
        time.sleep(60)
    assert signal.getsignal(number) == before and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_process_that_dies_costs_one_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    entries = [{"kind": "rounds", "method": name} for name in ("a", "b")]
    done = gpu.measure(entries, tmp_path / "gpu.json", {"date": "today"}, time.monotonic() + 60)
    assert [entry["failed"] for entry in done] == ["its process ended with exit code 1"] * 2
    assert json.loads((tmp_path / "gpu.json").read_text()) == {"date": "today", "measurements": done}
    (late,) = gpu.measure(entries[:1], tmp_path / "gpu.json", {}, time.monotonic() - 1)
    assert late["failed"] == "no time was left"


def test_graphs_are_used_if_they_were_faster_and_agreed_everywhere() -> None:
    def timed(graphs: bool, seconds: float, accuracy: float = 0.5, method: str = "fedavg") -> dict[str, Any]:
        cell = {"kind": "rounds", "method": method, "precision": "fp32", "graphs": graphs}
        return {**cell, "seconds": seconds, "accuracy": accuracy}

    plain, other = timed(False, 2.0), [timed(False, 2.0, method="fedntd"), timed(True, 1.0, method="fedntd")]
    assert gpu.graphs_pay([plain, timed(True, 1.0), *other])
    assert not gpu.graphs_pay([plain])
    for graph in (timed(True, 3.0), timed(True, 1.0, accuracy=0.1)):
        assert not gpu.graphs_pay([plain, graph, *other])
    broken = {name: value for name, value in timed(True, 1.0).items() if name not in ("seconds", "accuracy")}
    assert not gpu.graphs_pay([plain, {**broken, "failed": "out of memory"}, *other])


def test_a_gpu_measures_the_workload_in_every_precision_and_with_graphs() -> None:
    entries = gpu.measurements("cuda", small=False)
    timed = {(e["method"], e["precision"], bool(e.get("graphs"))) for e in entries if e["kind"] == "rounds"}
    methods, precisions = ("fedavg", "fedntd", "scaffold"), ("fp32", "tf32", "bf16")
    assert timed == {(m, p, g) for m in methods for p in precisions for g in (False, True)}
    assert {e["task"] for e in entries if e["kind"] == "rounds"} == {"paper-fedntd-t1-cifar10-s2"}
    assert [e["task"] for e in entries if e["kind"] == "feddf"] == ["paper-feddf-t2-cifar10-a1"]

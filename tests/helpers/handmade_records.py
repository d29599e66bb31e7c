"""Records by hand, for tests of what is computed from records; none of them ever lies in results/."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.core.data.manifest import manifest
from benchmark.core.storage.checksummed_json import canonical_json, sha256
from benchmark.core.tasks import task as tasks
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.records import environment, record, store
from benchmark.records.tuned import load_task

TASK = "digits-shards"  # clients: 20, targets: 0.5, 0.7, 0.8
HASH = "ab" * 32


def result(accuracy: float, forgetting: float = 0.1, targets: Mapping[float, int] | None = None) -> dict[str, Any]:
    """One evaluation in round 40; 3 MB up, 5 MB down; a target reached in round r took r * 1e5 bytes."""
    known = tasks.load(TASK).targets
    reached = {target: (targets or {}).get(target) for target in known}
    return {
        "accuracy": accuracy,
        "accuracy_last5": accuracy - 0.01,
        "forgetting": forgetting,
        "evaluations": [
            {
                "round": 40,
                "accuracy": accuracy,
                "per_class": [accuracy] * 10,
                "forgetting": forgetting,
                "bytes": 8_000_000,
            }
        ],
        "in_local": None,
        "out_local": None,
        "bytes": {
            "up": 3_000_000,
            "down": 5_000_000,
            "up_wire": 3_000_100,
            "down_wire": 5_000_100,
            "by_name": [["train", "down", "model", 5_000_000], ["train", "up", "model", 3_000_000]],
        },
        "targets": [{"accuracy": t, "round": r, "bytes": r * 100_000 if r else None} for t, r in reached.items()],
    }


def make(algorithm: str, seed: int, accuracy: float | None = 0.5, task: str = TASK, **changes: Any) -> record.Record:
    """A record that stands beside `fingerprint(...)`; accuracy None makes a diverged one."""
    setting = load_task(task)
    fingerprints = {n: p.fingerprint for n, p in manifest()[setting.dataset].splits.items()}
    measured = None if accuracy is None else changes.pop("result", None) or result(accuracy)
    content: dict[str, Any] = {
        "schema": 1,
        "protocol": PROTOCOL,
        "engine": ENGINE,
        "task": task,
        "algorithm": algorithm,
        "seed": seed,
        "track": setting.track,
        "status": "ok" if measured else "diverged",
        "reason": "" if measured else "loss is nan",
        "settings": setting.settings(algorithm),
        "departures": [],
        "hashes": {"task": setting.sha256, "algorithm": HASH, "data": {setting.dataset: fingerprints}, "split": HASH},
        "backend": "loop",
        "precision": "fp32",
        "judged": "common",
        "rounds": setting.rounds,
        "result": measured,
    }
    return record.Record(**content | changes)


def write(results: Path, *made: record.Record) -> None:
    """Put records where they belong."""
    for one in made:
        store.write(one, environment.environment(command="fedrepro run", workers=1, seconds=1.0), results / one.path)


def with_checksum(content: dict[str, Any]) -> str:
    """A record's file with the checksum of what it holds."""
    bare = {name: value for name, value in content.items() if name != "record_sha256"}
    return canonical_json(bare | {"record_sha256": sha256(bare)})


def fingerprint(results: Path, name: str, **changes: Any) -> None:
    """A method's fingerprint; its hash is the one of the records above."""
    facts = {
        "name": name,
        "title": name,
        "paper": "",
        "version": 1,
        "track": ["global"],
        "needs": [],
        "pooled": False,
        "fields": {},
        "sha256": HASH,
    }
    path = results / "methods" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts | changes))


def example_results(folder: Path) -> Path:
    """A folder of results with FedAvg 50, 52, 54 %, FedNTD 60, 61, 65 %, and one seed of FedProx."""
    results = folder / "results"
    for name in ("fedavg", "fedntd", "fedprox"):
        fingerprint(results, name)
    write(results, *(make("fedavg", seed, 0.50 + 0.02 * seed) for seed in range(3)))
    write(results, *(make("fedntd", seed, value) for seed, value in enumerate((0.60, 0.61, 0.65))))
    write(results, make("fedprox", 0, 0.55))
    return results

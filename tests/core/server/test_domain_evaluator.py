"""Clients with domains: every client's model is judged on the test images of its own domain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fedrepro as fr
from benchmark.core.client.federation_data import load_federation_data
from benchmark.core.tasks import task as tasks
from benchmark.records import predictions

pytestmark = pytest.mark.slow

TASK = """
track: personal
tier: quick
protocol: 2
dataset: own.yaml
split: {kind: domain}
clients: 4
cohort: 4
rounds: 2
networks: [mlp]
train: {batch: 5, optimiser: {lr: 0.1}}
"""


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two domains in which the same brightness means opposite classes, three times as many test images in the first."""
    monkeypatch.setenv("FEDREPRO_CACHE", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    arrays = {}
    for split, sizes in (("train", (40, 40)), ("test", (30, 10))):
        domains = np.repeat([0, 1], sizes)
        labels = np.arange(sum(sizes)) % 2
        bright = np.where(domains == 0, labels, 1 - labels)
        noise = draw.integers(0, 100, (sum(sizes), 4, 4))
        arrays |= {f"x_{split}": (noise + 150 * bright[:, None, None]).astype(np.uint8), f"y_{split}": labels}
        arrays[f"d_{split}"] = np.array(["plain", "reversed"])[domains]
    np.savez(tmp_path / "data.npz", **arrays)  # type: ignore[arg-type]
    (tmp_path / "own.yaml").write_text("kind: npz\npath: data.npz\ndomain: d_{split}\n")
    (tmp_path / "domains.yaml").write_text(TASK)
    return str(tmp_path / "domains.yaml")


def test_test_images_follow_one_another_by_domain(task: str) -> None:
    data = load_federation_data(tasks.load(task), 0)
    assert data.test_domains == (30, 10) and [len(part) for part in data.parts] == [20, 20, 20, 20]


def test_a_client_is_judged_on_its_domain_alone(task: str, tmp_path: Path) -> None:
    record = fr.run("local", task=task, out=tmp_path / "out", predictions=True)
    kept = predictions.read(tmp_path / "out" / record.path)
    assert record.result is not None and kept is not None
    right = kept.logits.argmax(2) == kept.labels
    edges = [(0, 30), (30, 40), (0, 30), (30, 40)]  # client i has domain i mod 2
    expected = [
        sum(share[c] * right[i, start:stop][kept.labels[start:stop] == c].mean() for c in (0, 1))
        for i, ((start, stop), share) in enumerate(zip(edges, kept.shares, strict=True))
    ]
    assert record.result.evaluations[-1].clients == pytest.approx(expected, abs=1e-6)
    # Each knows its own domain; on the other one it would be wrong.
    assert min(expected) > 0.9 and right[0, 30:].mean() < 0.5

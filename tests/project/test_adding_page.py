"""The examples of docs/adding.md: their files are written into an empty folder and used as the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fedrepro as fr
from benchmark.core import registry
from benchmark.records import predictions

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "adding.md").read_text()
FILES = dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE, flags=re.DOTALL))
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files, and photos of four owners: dark cats and light dogs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDREPRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(registry.FILES, str(tmp_path / "parts.py"))
    monkeypatch.setattr(registry, "_EXTENSIONS", {})
    monkeypatch.setattr(registry, "_FILES_READ", set())
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    draw = np.random.default_rng(0)
    for owner in ("ann", "bob", "cleo", "dan"):
        for number, label in enumerate(("cat", "dog")):
            place = tmp_path / "photos" / owner / label
            place.mkdir(parents=True)
            for i in range(10):
                pixels = draw.integers(0, 110, (20, 20)).astype(np.uint8) + np.uint8(140 * number)
                Image.fromarray(pixels).save(place / f"{i}.png")
    return tmp_path


def test_owners_of_photos_are_clients(folder: Path) -> None:
    for seed in range(3):
        record = fr.run("fedavg", task="sorting.yaml", seed=seed, out="mine")
        assert record.result is not None and len(record.result.evaluations[-1].clients or []) == 4
    frame = fr.board("sorting.yaml", "mine")
    assert list(frame["comparable"]) == [True]


def test_a_partition_two_networks_and_a_metric_of_predictions(folder: Path) -> None:
    space: dict[str, Any] = {}
    exec(compile(CODE, "adding.md", "exec"), space)
    table = space["table"]
    assert list(table["comparable"]) == [True] and list(table["seeds"]) == [3]
    # Of four clients one is the worst tenth: its accuracy, over the three seeds.
    worst = []
    for seed in range(3):
        kept = predictions.read(folder / "mine" / "uneven" / "local" / f"{seed}.json")
        assert kept is not None and kept.clients.tolist() == [0, 1, 2, 3]
        right = kept.logits.argmax(2) == kept.labels
        by_class = np.stack([right[:, kept.labels == c].mean(1) for c in (0, 1)], axis=1)
        worst.append(100 * (by_class * kept.shares).sum(1).min())
    assert table["worst_tenth"].iloc[0] == pytest.approx(np.mean(worst), abs=1e-3)


def test_predictions_give_the_accuracy_of_the_record(folder: Path) -> None:
    record = fr.run("fedavg", task="digits-shards", rounds=2, out="mine", predictions=True)
    kept = predictions.read(folder / "mine" / record.path)
    assert kept is not None and kept.clients.tolist() == [-1] and kept.logits.shape == (1, 359, 10)
    assert record.result is not None
    assert (kept.logits[0].argmax(1) == kept.labels).mean() == pytest.approx(record.result.accuracy, abs=1e-6)

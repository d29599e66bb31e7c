"""A board over images, task and method of one's own: two files of YAML, one of Python, and comparable rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fedrepro as fr
from benchmark.cli import invoke
from benchmark.paths import ROOT

pytestmark = pytest.mark.slow

TASK = """
track: global
tier: quick
dataset: pictures.yaml
split: {kind: iid}
clients: 4
cohort: 2
rounds: 2
networks: [mlp]
train: {batch: 6, optimiser: {lr: 0.1}}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images, a dataset file, a task and a method."""
    monkeypatch.setenv("FEDREPRO_CACHE", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    for number, name in enumerate(("ball", "box")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(30):
            image = draw.integers(0, 120, (8, 8)).astype(np.uint8) + np.uint8(120 * number)
            Image.fromarray(image).save(tmp_path / "photos" / name / f"{i}.png")
    (tmp_path / "pictures.yaml").write_text("kind: folder\npath: photos\ngrey: true\n")
    (tmp_path / "sorting.yaml").write_text(TASK)
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "nearby.py").write_text((ROOT / "algorithms" / "fedprox.py").read_text())
    return tmp_path


def test_a_board_of_one_s_own_is_comparable(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task, method, out = str(home / "sorting.yaml"), str(home / "methods" / "nearby.py"), home / "out"
    for name in ("fedavg", method):
        for seed in range(3):
            assert fr.run(name, task=task, seed=seed, out=out).departures == []
    frame = fr.board(task, out, algorithms=[home / "methods"])
    assert list(frame["comparable"]) == [True, True] and list(frame["remarks"]) == ["", ""]
    assert frame.set_index("method").loc["nearby", "p"] is not None
    # Without the method's file its row is there, and says what is missing.
    frame = fr.board(task, out).set_index("method")
    assert frame.loc["nearby", "remarks"] == "its method is gone" and frame.loc["fedavg", "comparable"]

    words = ["board", "--tasks", task, "--results", str(out), "--algorithms", str(home / "methods"), "--json"]
    assert invoke(words) == 0
    rows = json.loads(capsys.readouterr().out)["sorting"]
    assert [row["comparable"] for row in rows] == [True, True]


def test_changed_images_take_the_records_off_the_board(home: Path) -> None:
    task, out = str(home / "sorting.yaml"), home / "out"
    for seed in range(3):
        fr.run("fedavg", task=task, seed=seed, out=out)
    (home / "photos" / "box" / "0.png").unlink()
    frame = fr.board(task, out)
    assert list(frame["comparable"]) == [False] and list(frame["remarks"]) == ["its data have changed"]

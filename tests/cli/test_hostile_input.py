"""Malformed input of every kind: one line that refuses it; never a traceback, never a hang, never a written result."""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.cli import invoke
from benchmark.core import method_files
from benchmark.core.api import torch
from benchmark.core.data import mirror
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage import checkpoint, serialization
from benchmark.core.storage.checksummed_json import canonical_json
from benchmark.core.tasks import task as tasks
from benchmark.records import store
from benchmark.replay import trajectory
from helpers.handmade_dataset import make_dataset as toy
from helpers.handmade_records import make, with_checksum
from helpers.malformed import Attempt, bytes_of, command_line, junk, name, refuse, tree_of
from helpers.reliability_figures import Figures

pytestmark = pytest.mark.slow

Source = Callable[[Path, random.Random], Iterator[Attempt]]
GOLDEN = {"algorithm": "fedavg", "params": {}, "num_classes": 3, "rounds": 2, "local_epochs": 1, "batch_size": 4,
          "lr": 0.1, "momentum": 0.5, "weight_decay": 0, "lr_decay_per_round": 0.9, "participation": 0.5}  # fmt: skip


def task_files(home: Path, draw: random.Random) -> Iterator[Attempt]:
    """Changed text of every task's file, and changed content."""
    texts = [path.read_text() for path in sorted(tasks.FOLDER.glob("*.yaml"))]
    contents = [yaml.safe_load(text) for text in texts]
    while True:
        text = bytes_of(draw.choice(texts).encode(), draw).decode(errors="replace")
        if draw.random() < 0.5:
            text = yaml.safe_dump(tree_of(draw.choice(contents), draw))
        yield text, lambda text=text: tasks.parse(text, "mine.yaml", "mine").sha256


def parameters(home: Path, draw: random.Random) -> Iterator[Attempt]:
    """Fields that a method has not, and values that its fields cannot have."""
    methods = method_files.names()
    known = {method: list(vars(method_files.make(method))) for method in methods}
    while True:
        method = draw.choice(methods)
        fields = known[method] or ["nothing"]
        field = draw.choice(fields) if draw.random() < 0.7 else name(draw, fields)
        yield (method, field, value := junk(draw)), lambda m=method, f=field, v=value: method_files.make(m, {f: v})


def records(home: Path, draw: random.Random) -> Iterator[Attempt]:
    """Changed bytes of a record, and changed content under the right checksum."""
    whole, path = canonical_json(make("fedavg", 0)), home / "0.json"
    content = json.loads(whole)
    del content["record_sha256"]
    while True:
        data = bytes_of(whole.encode(), draw)
        if draw.random() < 0.5:
            with contextlib.suppress(ValueError):  # of JSON that cannot be canonical
                data = with_checksum(tree_of(content, draw)).encode()
        yield data, lambda data=data: (path.write_bytes(data), store.read(path))


def golden_files(home: Path, draw: random.Random) -> Iterator[Attempt]:
    """Changed bytes of a recorded run, changed arrays and changed settings."""
    arrays: dict[str, Any] = {"cohorts": np.array([[0, 1], [1, 2]]), "config": np.array(json.dumps(GOLDEN))}
    shapes = {"conv.weight": (3, 1, 3, 3), "conv.bias": (3,), "linear_1.weight": (4, 12), "linear_1.bias": (4,),
              "classifier.weight": (3, 4), "classifier.bias": (3,)}  # fmt: skip
    for prefix in ("init", "round1", "round2"):
        arrays |= {f"{prefix}.{part}": np.zeros(shape, np.float32) for part, shape in shapes.items()}
    for part, size in (("0", 4), ("1", 6), ("2", 5), ("test", 5)):
        arrays |= {f"x_{part}": np.zeros((size, 1, 4, 4), np.float32), f"y_{part}": np.arange(size) % 3}
    path = home / "mine.npz"
    np.savez(path, **arrays)
    whole = path.read_bytes()
    assert trajectory.replay(path, method_files.make)["rounds"] == 2
    while True:
        data = bytes_of(whole, draw) if draw.random() < 0.4 else _packed(arrays, draw)
        yield data, lambda data=data: (path.write_bytes(data), trajectory.replay(path, method_files.make))


def _packed(arrays: dict[str, Any], draw: random.Random) -> bytes:
    changed = dict(arrays)
    key = draw.choice(list(changed))
    array = changed[key]
    match draw.randrange(5):
        case 0:
            del changed[key]
        case 1:
            changed[key] = array[..., :-1] if array.ndim else np.array(str(junk(draw)))
        case 2:
            changed[key] = array.astype(draw.choice(("float64", "int8", "bool", "complex64"))) if array.ndim else array
        case 3:
            changed[key] = np.array(junk(draw, 0), dtype="U9")
    if changed.get(key) is array:
        changed["config"] = np.array(json.dumps(tree_of(GOLDEN, draw)))
    file = io.BytesIO()
    np.savez(file, **changed)
    return file.getvalue()


def mirrors(home: Path, draw: random.Random) -> Iterator[Attempt]:
    """Changed manifests of a packed mirror, under the right checksum and without one, and changed files."""
    files = mirror.pack(toy("toy", 1, n=20), home)
    manifest = home / "MANIFEST.json"
    whole, content = manifest.read_bytes(), json.loads(manifest.read_bytes())
    while True:
        data, path = bytes_of(whole, draw), manifest
        if draw.random() < 0.5:
            datasets = tree_of(content["datasets"], draw)
            data = json.dumps({"format": 2, "sha256": mirror._sha256(datasets), "datasets": datasets}).encode()
        elif draw.random() < 0.2:
            path = draw.choice(files)
            data = bytes_of(path.read_bytes(), draw)
        yield data, lambda path=path, data=data: _read(path, data, home)


def _read(path: Path, data: bytes, home: Path) -> None:
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        if not mirror.holds(home, "toy"):
            raise BenchmarkError("toy is in no source")
        mirror.read(home, "toy")
    finally:
        path.write_bytes(before)


def messages(home: Path, draw: random.Random) -> Iterator[Attempt]:
    """Changed bytes of a message, and what is no tree of tensors."""
    whole = serialization.encode(
        {"model": {"w": torch.ones(3, 2), "b": torch.zeros(2)}, "n": torch.tensor(3)}, "test"
    ).data
    while True:
        if draw.random() < 0.7:
            yield (data := bytes_of(whole, draw)), lambda data=data: serialization.decode(data)
        else:
            tree = junk(draw)
            yield tree, lambda tree=tree: serialization.encode(tree, "test")


def checkpoints(home: Path, draw: random.Random) -> Iterator[Attempt]:
    """Changed bytes of a checkpoint."""
    path = home / "client-3-1.safetensors"
    checkpoint.save(path, {"w": torch.ones(3)}, {"client": 3, "round": 1})
    whole = path.read_bytes()
    while True:
        yield (data := bytes_of(whole, draw)), lambda data=data: (path.write_bytes(data), checkpoint.load_memory(path))


def command_lines(home: Path, draw: random.Random) -> Iterator[Attempt]:
    """Command lines with a mistake; nothing appears where they were told to write."""
    while True:
        words = command_line(draw, str(home / "out"))
        yield words, lambda words=words: _invoked(words, home)


def _invoked(words: list[str], home: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = invoke(words)
    assert code in (0, 1, 2) and "--debug" not in err.getvalue() and "Traceback" not in err.getvalue(), err.getvalue()
    assert not (home / "out").exists()
    if code:
        lines = err.getvalue().splitlines()
        assert len(lines) == 1 and lines[0].startswith("fedrepro: "), lines
        raise BenchmarkError(lines[0])


SOURCES: list[tuple[Source, int]] = [
    (task_files, 15_000), (parameters, 25_000), (records, 15_000), (golden_files, 8_000), (mirrors, 10_000),
    (messages, 30_000), (checkpoints, 5_000), (command_lines, 1_500),
]  # fmt: skip


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.reliability)], ids=["short", "long"])
@pytest.mark.parametrize(("source", "count"), SOURCES, ids=lambda value: getattr(value, "__name__", None))
def test_malformed_input_is_refused_in_one_line(
    source: Source, count: int, whole: bool, tmp_path: Path, figures: Figures, capfd: pytest.CaptureFixture[str]
) -> None:
    home, wanted = tmp_path / "home", count if whole else count // 100
    home.mkdir()
    taken = refuse(source(home, random.Random(f"hostile {source.__name__}")), wanted)
    assert not list(tmp_path.rglob("*.run")) and not list(tmp_path.rglob("LEADERBOARD.md"))
    label = f"malformed {source.__name__.replace('_', ' ')}"
    figures("5", label, f"{wanted:,} refused in one line each; {taken:,} changed ones still made sense")


def trees() -> Any:
    """Nested dicts of tensors and of what is none."""
    leaves = st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.just(torch.zeros(2)))
    names = st.one_of(st.text(), st.integers(), st.none())
    return st.recursive(leaves, lambda inner: st.one_of(st.lists(inner), st.dictionaries(names, inner)), max_leaves=8)


@pytest.mark.parametrize("examples", [50, pytest.param(3_000, marks=pytest.mark.reliability)])
def test_a_message_arrives_as_it_was_or_is_refused(examples: int, figures: Figures) -> None:
    refused = 0

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(trees())
    def property_(tree: Any) -> None:
        nonlocal refused
        try:
            parcel = serialization.encode(tree, "test")
        except BenchmarkError:
            refused += 1
            return
        again = serialization.decode(parcel.data)
        assert again is None if tree is None else serialization.encode(again, "test").data == parcel.data

    property_()
    figures("5", "malformed messages by hypothesis", f"{refused:,} of {examples:,} refused, the others unchanged")

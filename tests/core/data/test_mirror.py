"""Mirrors: what is packed is what is read, and no damaged file is decoded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.data import mirror
from benchmark.core.data.dataset import Dataset
from benchmark.core.data.manifest import Arrays
from benchmark.core.errors import BenchmarkError
from helpers.handmade_dataset import make_dataset


def assert_same(arrays: Arrays, dataset: Dataset) -> None:
    for split, rows in (("train", dataset.train), ("test", dataset.test)):
        assert np.array_equal(arrays[split][0], rows.images)
        assert np.array_equal(arrays[split][1], rows.labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_packed_is_what_is_read(tmp_path: Path, channels: int) -> None:
    dataset = make_dataset("toy", channels)
    mirror.pack(dataset, tmp_path)
    assert_same(mirror.read(tmp_path, "toy"), dataset)


def test_parts_stay_below_the_size_that_was_asked_for(tmp_path: Path) -> None:
    # 230 random images of 8 x 6 x 3 are 33,120 bytes that do not compress: at least three parts of 16,000 per split.
    dataset = make_dataset("toy", 3)
    written = mirror.pack(dataset, tmp_path, part_bytes=16_000)
    zips = [path for path in written if path.suffix == ".zip"]
    assert len(zips) >= 6
    assert max(path.stat().st_size for path in zips) <= 16_000
    assert_same(mirror.read(tmp_path, "toy"), dataset)


def test_a_part_too_small_for_one_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="more than a part of 1000; allow larger parts"):
        mirror.pack(make_dataset("toy", 3), tmp_path, part_bytes=1000)
    assert not (tmp_path / "MANIFEST.json").exists()


def test_datasets_stand_beside_each_other_in_one_folder(tmp_path: Path) -> None:
    grey, colour = make_dataset("grey", 1), make_dataset("colour", 3, coarse=True)
    mirror.pack(grey, tmp_path)
    mirror.pack(colour, tmp_path)
    assert mirror.holds(tmp_path, "grey") and mirror.holds(tmp_path, "colour") and not mirror.holds(tmp_path, "mnist")
    assert_same(mirror.read(tmp_path, "grey"), grey)
    assert colour.train.coarse is not None
    with np.load(tmp_path / "colour" / "labels.npz") as labels:
        assert np.array_equal(labels["train_coarse"], colour.train.coarse)


def test_the_manifest_describes_every_file(tmp_path: Path) -> None:
    written = mirror.pack(make_dataset("toy", 1), tmp_path)
    entry = json.loads((tmp_path / "MANIFEST.json").read_text())["datasets"]["toy"]
    described = [entry["labels_file"], *entry["splits"]["train"]["files"], *entry["splits"]["test"]["files"]]
    assert {file["path"] for file in described} | {"MANIFEST.json"} == {
        path.relative_to(tmp_path).as_posix() for path in written
    }
    for file in described:
        data = (tmp_path / file["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
    assert entry["splits"]["train"]["shape"] == [230, 8, 6]


def test_damaged_files_are_named_before_they_are_decoded(tmp_path: Path) -> None:
    mirror.pack(make_dataset("toy", 1), tmp_path)
    part = tmp_path / "toy" / "train-0.zip"
    data = part.read_bytes()
    for content, words in (
        (data[:-1], f"toy/train-0.zip is truncated: {len(data) - 1} bytes, expected {len(data)}"),
        (bytes([data[0] ^ 1]) + data[1:], "toy/train-0.zip has changed bytes"),
        (None, "toy/train-0.zip is missing"),
    ):
        part.unlink()
        if content is not None:
            part.write_bytes(content)
        with pytest.raises(BenchmarkError, match=words) as caught:
            mirror.read(tmp_path, "toy")
        assert "copy the mirror again" in str(caught.value) and str(tmp_path) in str(caught.value)
        part.write_bytes(data)


def edit(folder: Path, change: object) -> None:
    assert callable(change)
    path = folder / "MANIFEST.json"
    content = json.loads(path.read_text())
    change(content["datasets"]["toy"])
    path.write_text(json.dumps({"format": 1, "datasets": content["datasets"]}))  # as one without a checksum


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda toy: toy["labels_file"].update(path="../secret"), "is outside the mirror"),
        (lambda toy: toy.pop("labels_file"), "entry toy is not valid"),
        (lambda toy: toy["splits"]["train"].update(shape=[231, 8, 6]), "labels.npz holds no 231 labels of train"),
        (lambda toy: toy["splits"]["train"]["files"].clear(), "hold 0 images, expected 230"),
        (lambda toy: toy["splits"]["train"].update(shape=[230, 4, 6]), "hold 460 images, expected 230"),
        (lambda toy: toy["splits"]["train"].update(shape=[230, 8, 7]), "train-0.zip holds no sheets of 8 x 7 images"),
        (lambda toy: toy["splits"].update(extra=toy["splits"]["test"]), "labels.npz holds no 230 labels of extra"),
    ],
)
def test_a_manifest_that_does_not_fit_its_files_is_refused(tmp_path: Path, change: object, words: str) -> None:
    mirror.pack(make_dataset("toy", 1), tmp_path)
    edit(tmp_path, change)
    with pytest.raises(BenchmarkError, match=words):
        mirror.read(tmp_path, "toy")


def test_the_variable_must_name_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDREPRO_MIRROR", str(tmp_path))
    with pytest.raises(BenchmarkError, match=r"FEDREPRO_MIRROR=.* holds no MANIFEST.json"):
        mirror.find()
    (tmp_path / "MANIFEST.json").write_text("{")
    with pytest.raises(BenchmarkError, match=r"MANIFEST.json is truncated"):
        mirror.holds(tmp_path, "mnist")
    monkeypatch.delenv("FEDREPRO_MIRROR")
    assert mirror.find() is None

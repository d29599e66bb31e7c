"""Loading: digits through the whole way, the cache as a person meets it, mismatches and missing data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.data import cache, mirror
from benchmark.core.data.dataset import Dataset, Split
from benchmark.core.data.loading import load
from benchmark.core.data.named_datasets import fetch
from benchmark.core.errors import BenchmarkError

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for cache and archives, and no mirror."""
    monkeypatch.setenv("FEDREPRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FEDREPRO_DATA", str(tmp_path / "archives"))
    monkeypatch.delenv("FEDREPRO_MIRROR", raising=False)
    monkeypatch.setattr("benchmark.core.data.sources.DEBIAN", tmp_path / "no-such-package")
    return tmp_path


def test_digits_come_whole_from_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    digits = load("digits")
    assert digits.shape == (1, 8, 8)
    assert digits.train.images.shape == (1438, 8, 8, 1) and digits.test.images.shape == (359, 8, 8, 1)
    assert digits.source == "embedded"
    assert digits.train.labels.dtype == np.int64 and digits.train.coarse is None
    # Levels 0..16 become round(level * 255 / 16), halves up: 8 becomes 128, 16 becomes 255.
    both = np.concatenate([digits.train.images, digits.test.images])
    spread = {level: int(np.floor(level * 255 / 16 + 0.5)) for level in range(17)}
    assert spread[8] == 128 and spread[16] == 255
    raw = np.vectorize(spread.get)(load_digits().images.astype(int)).astype(np.uint8)
    assert sorted(image.tobytes() for image in both) == sorted(image.tobytes() for image in raw)


def test_the_manifest_s_channel_statistics_are_those_of_the_train_pixels() -> None:
    digits = load("digits")
    pixels = digits.train.images / 255
    assert digits.mean == pytest.approx([pixels.mean()], abs=1e-6)
    assert digits.std == pytest.approx([pixels.std()], abs=1e-6)


def test_images_are_mapped_read_only_and_survive_a_new_decoding() -> None:
    digits = load("digits")
    before = digits.train.images[:5].copy()
    assert isinstance(digits.train.images, np.memmap) and not digits.train.images.flags.writeable
    fetch("digits")
    assert np.array_equal(digits.train.images[:5], before)


def damage(kind: str, path: Path) -> None:
    data = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(data[:-1])
    elif kind == "longer":
        path.write_bytes(data + b"\0")
    elif kind == "flipped":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif kind == "header":
        path.write_bytes(data.replace(b"|u1", b"|b1", 1))
    else:
        path.write_bytes(b"\0" * len(data))


@pytest.mark.parametrize(
    ("file", "kind", "words", "needs_hash"),
    [
        ("train-images.npy", "missing", "train-images.npy is missing", False),
        ("train-images.npy", "truncated", "train-images.npy is truncated", False),
        ("test-labels.npy", "longer", "not the file that was written", False),
        ("test-images.npy", "header", "holds bool", False),
        ("test-images.npy", "zeroed", "has a changed header", False),
        ("cache.json", "zeroed", "cache.json is truncated", False),
        ("train-images.npy", "flipped", "train-images.npy or its labels have changed bytes", True),
        ("test-labels.npy", "flipped", "test-images.npy or its labels have changed bytes", True),
    ],
)
def test_a_damaged_cache_stops_the_run_until_it_is_decoded_again(
    file: str, kind: str, words: str, needs_hash: bool
) -> None:
    load("digits")
    damage(kind, cache.folder("digits") / file)
    with pytest.raises(BenchmarkError, match=f"the cached digits is damaged: .*{words}.*fedrepro data get digits"):
        load("digits", verify=needs_hash)
    fetch("digits")
    assert len(load("digits").train.labels) == 1438


def test_a_worker_checks_presence_and_size_only() -> None:
    load("digits")
    damage("flipped", cache.folder("digits") / "train-images.npy")
    assert len(load("digits", verify=False).train.labels) == 1438


def test_a_cache_of_another_manifest_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    load("digits")
    path = cache.folder("digits") / "cache.json"
    other = cache.CacheMetadata.model_validate_json(path.read_text().replace("1135f2ca", "00000000"))
    path.write_text(other.with_checksum().model_dump_json())
    with pytest.raises(BenchmarkError, match="is of another version: not the data that the manifest asks for"):
        load("digits", verify=False)


def test_a_full_disk_is_one_message_and_leaves_nothing_half_written(home: Path) -> None:
    # A limit of 50,000 bytes per file stands for the full disk: the train images need 92,160.
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "from benchmark.core.data.loading import load\n"
        "from benchmark.core.errors import BenchmarkError\n"
        "try: load('digits')\n"
        "except BenchmarkError as error: print(error)\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, env=os.environ)
    assert "digits cannot be cached" in done.stdout and "FEDREPRO_CACHE" in done.stdout, done.stderr
    assert list((home / "cache" / "data" / "digits").iterdir()) == []
    assert len(load("digits").train.labels) == 1438


def test_missing_data_name_the_sources_and_the_command() -> None:
    with pytest.raises(BenchmarkError) as caught:
        load("cifar10")
    assert str(caught.value) == (
        "cifar10 is in no source (embedded, mirror, torchvision, debian); get it: fedrepro data get cifar10 --download"
    )
    assert caught.value.user


def test_a_source_with_other_data_stops_the_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.zeros((10, 28, 28, 1), np.uint8)
    rows = Split(images, np.arange(10), None)
    fake = Dataset("mnist", rows, rows, tuple("0123456789"), (0.0,), (1.0,), {"train": "", "test": ""}, "zeros")
    mirror.pack(fake, home / "mirror")
    monkeypatch.setenv("FEDREPRO_MIRROR", str(home / "mirror"))
    words = r"mnist from mirror: train has uint8 images of shape \(10, 28, 28, 1\), expected .*copy the mirror again"
    with pytest.raises(BenchmarkError, match=words):
        load("mnist")
    assert not cache.folder("mnist").exists()


@pytest.mark.parametrize("folder", [SHARED] if SHARED.is_dir() else [])
def test_a_real_mirror_gives_the_published_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDREPRO_MIRROR", str(folder))
    numbers = load("svhn10k")
    assert numbers.source == "mirror" and numbers.shape == (3, 32, 32)
    assert numbers.fingerprints["test"].startswith("49255533")

"""Sources: torchvision's archives, Debian's idx files and what to do when none has a dataset, on files written here."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torchvision

from benchmark.core.data import sources
from benchmark.core.data.loading import load
from benchmark.core.data.manifest import Arrays
from benchmark.core.data.named_datasets import fetch
from benchmark.core.errors import BenchmarkError

DRAW = np.random.default_rng(0)
NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture(autouse=True)
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty archives folder, no mirror and no Debian package."""
    folder = tmp_path / "archives"
    folder.mkdir()
    monkeypatch.setenv("FEDREPRO_DATA", str(folder))
    monkeypatch.setenv("FEDREPRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FEDREPRO_MIRROR", raising=False)
    monkeypatch.setattr(sources, "DEBIAN", tmp_path / "debian")
    return folder


def read(source: str, name: str) -> Arrays:
    return next(s for s in sources.SOURCES if s.name == source).read(name)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_mnist(folder: Path, suffix: str = "") -> Arrays:
    """Train of 5 and test of 3 random images; returns what a source must read."""
    expected = {}
    for split, start, n in (("train", "train", 5), ("test", "t10k", 3)):
        images, labels = DRAW.integers(0, 256, (n, 28, 28), np.uint8), np.arange(n, dtype=np.uint8)
        write_idx(folder / f"{start}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{start}-labels-idx1-ubyte{suffix}", labels)
        expected[split] = images[..., None], labels
    return expected


def write_cifar100(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Arrays:
    """CIFAR-100's three pickles with 4 and 2 images, and torchvision told their md5; returns what must be read."""
    home, expected = folder / "cifar-100-python", {}
    home.mkdir()
    for split, n in (("train", 4), ("test", 2)):
        images, labels = DRAW.integers(0, 256, (n, 32, 32, 3), np.uint8), list(range(n))
        planes = images.transpose(0, 3, 1, 2).reshape(n, -1)
        (home / split).write_bytes(pickle.dumps({"data": planes, "fine_labels": labels, "coarse_labels": labels}))
        expected[split] = images, np.array(labels)
    (home / "meta").write_bytes(pickle.dumps({"fine_label_names": ["a", "b", "c", "d"]}))
    known = torchvision.datasets.CIFAR100
    monkeypatch.setattr(known, "train_list", [["train", md5(home / "train")]])
    monkeypatch.setattr(known, "test_list", [["test", md5(home / "test")]])
    monkeypatch.setattr(known, "meta", known.meta | {"md5": md5(home / "meta")})
    return expected


def write_svhn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Arrays:
    """SVHN's two .mat files: images as [row, column, channel, n], labels as a column in which 10 means the digit 0."""
    expected, listed = {}, {}
    for split, digits in (("train", [1, 0, 9, 0]), ("test", [5, 0])):
        images = DRAW.integers(0, 256, (len(digits), 32, 32, 3), np.uint8)
        stored = np.array([[10 if digit == 0 else digit] for digit in digits], np.uint8)
        path = folder / f"{split}_32x32.mat"
        scipy.io.savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": stored})
        expected[split] = images, np.array(digits)
        listed[split] = [NOWHERE, path.name, md5(path)]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", listed)
    return expected


def assert_same(actual: Arrays, expected: Arrays) -> None:
    assert actual.keys() == expected.keys()
    for split, (images, labels) in expected.items():
        assert np.array_equal(actual[split][0], images)
        assert np.array_equal(actual[split][1], labels)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_torchvision_s_unpacked_idx_files(archives: Path, name: str, folder: str) -> None:
    assert sources.find(name) == []
    expected = write_mnist(archives / folder / "raw")
    assert sources.find(name) == ["torchvision"]
    assert_same(read("torchvision", name), expected)


def test_torchvision_s_packed_idx_files_are_unpacked_if_their_md5_is_right(
    archives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = archives / "MNIST" / "raw"
    expected = write_mnist(raw, ".gz")
    with pytest.raises(BenchmarkError, match="torchvision's archive of mnist is incomplete or damaged"):
        read("torchvision", "mnist")
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [NOWHERE])
    resources = [(path.name, md5(path)) for path in sorted(raw.glob("*.gz"))]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    assert_same(read("torchvision", "mnist"), expected)


def test_torchvision_s_cifar_folder(archives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = write_cifar100(archives, monkeypatch)
    assert sources.find("cifar100") == ["torchvision"]
    assert_same(read("torchvision", "cifar100"), expected)
    (archives / "cifar-100-python" / "test").write_bytes(b"changed")
    with pytest.raises(BenchmarkError, match=r"incomplete or damaged: .*fedrepro data get cifar100 --download"):
        read("torchvision", "cifar100")


def test_torchvision_s_cifar_archive_is_unpacked_without_the_network(
    archives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = write_cifar100(archives, monkeypatch)
    folder, packed = archives / "cifar-100-python", archives / "cifar-100-python.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(folder, folder.name)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "url", NOWHERE)
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "tgz_md5", md5(packed))
    assert sources.find("cifar100") == ["torchvision"]
    assert_same(read("torchvision", "cifar100"), expected)


def test_svhn_s_label_10_is_the_digit_0(archives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = write_svhn(archives, monkeypatch)
    assert sources.find("svhn") == ["torchvision"]
    assert_same(read("torchvision", "svhn"), expected)


def test_svhn_without_a_fingerprint_must_still_have_the_published_counts(
    archives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_svhn(archives, monkeypatch)
    with pytest.raises(BenchmarkError, match=r"svhn from torchvision: train .* expected \(73257, 32, 32, 3\)"):
        load("svhn")


def test_a_download_that_fails_says_so(archives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_svhn(archives, monkeypatch)
    (archives / "test_32x32.mat").unlink()
    with pytest.raises(BenchmarkError, match=r"archive of svhn cannot be downloaded: .*--download"):
        fetch("svhn", download=True)
    with pytest.raises(BenchmarkError, match="svhn10k has no archive to download"):
        fetch("svhn10k", download=True)


def test_debian_s_idx_files() -> None:
    expected = write_mnist(sources.DEBIAN, ".gz")
    assert sources.find("fashion_mnist") == ["debian"] and sources.find("mnist") == []
    assert_same(read("debian", "fashion_mnist"), expected)


@pytest.mark.parametrize("cut", [-1, -20, 3])
def test_a_truncated_idx_file_is_named(cut: int) -> None:
    write_mnist(sources.DEBIAN, ".gz")
    path = sources.DEBIAN / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BenchmarkError, match=r"t10k-images-idx3-ubyte.gz: cannot be read"):
        read("debian", "fashion_mnist")


@pytest.mark.parametrize("data", [b"", b"\0\0\x08", b"\0\0\x09\x01\0\0\0\x01x", b"\0\0\x08\x01\0\0\0\x02x"])
def test_what_is_no_idx_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.gz"
    path.write_bytes(gzip.compress(data))
    with pytest.raises(BenchmarkError, match=r"bad.gz: cannot be read"):
        sources.read_idx(path)


def test_the_first_command_is_the_easiest_way_to_a_dataset() -> None:
    assert sources.commands("fashion_mnist")[0] == "apt-get install dataset-fashion-mnist"
    assert sources.commands("cifar10")[0] == "fedrepro data get cifar10 --download"
    assert sources.commands("svhn10k") == ["FEDREPRO_MIRROR=<folder> fedrepro data get svhn10k"]


PACKAGE = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.parametrize("folder", [PACKAGE] if PACKAGE.is_dir() else [])
def test_the_installed_package_holds_the_published_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "DEBIAN", folder)
    clothes = load("fashion_mnist")
    assert clothes.source == "debian" and clothes.shape == (1, 28, 28)
    assert clothes.fingerprints["test"].startswith("af1fd82a")

"""Sources of images, in the order in which they are asked. Each returns the rows of a split in any order."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core import user_paths
from benchmark.core.data import mirror
from benchmark.core.data.manifest import canonical_order, dataset_info
from benchmark.core.data.registered_data import Arrays
from benchmark.core.errors import BenchmarkError, not_installed

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""The folder in which Debian's package dataset-fashion-mnist has its four idx files."""


@dataclass(frozen=True)
class Source:
    """A kind of source.

    Attributes:
        name: Its name.
        has: Whether it has a dataset; found out without heavy imports.
        read: Decodes a dataset.
        fix: What to do about files that are damaged.
    """

    name: str
    has: Callable[[str], bool]
    read: Callable[[str], Arrays]
    fix: str


@dataclass(frozen=True)
class Archive:
    """A dataset of torchvision: the name of its class, and files of which one must be there, packed or unpacked."""

    kind: str
    files: tuple[str, ...]


ARCHIVES = {
    "mnist": Archive("MNIST", ("MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/train-images-idx3-ubyte.gz")),
    "fashion_mnist": Archive(
        "FashionMNIST", ("FashionMNIST/raw/train-images-idx3-ubyte", "FashionMNIST/raw/train-images-idx3-ubyte.gz")
    ),
    "cifar10": Archive("CIFAR10", ("cifar-10-batches-py", "cifar-10-python.tar.gz")),
    "cifar100": Archive("CIFAR100", ("cifar-100-python", "cifar-100-python.tar.gz")),
    "svhn": Archive("SVHN", ("train_32x32.mat",)),
}


def find(name: str) -> list[str]:
    """Names of the sources that have a dataset, first choice first."""
    return [source.name for source in SOURCES if source.has(name)]


def archives() -> Path:
    """Folder of torchvision's archives: FEDREPRO_DATA, by default ~/.cache/fedrepro/archives."""
    return user_paths.expanded(os.environ.get("FEDREPRO_DATA") or "~/.cache/fedrepro/archives", "FEDREPRO_DATA")


def commands(name: str) -> list[str]:
    """Commands that get a dataset that no source has, first choice first."""
    commands_ = ["apt-get install dataset-fashion-mnist"] if name == "fashion_mnist" else []
    commands_ += [f"fedrepro data get {name} --download"] if name in ARCHIVES else []
    return [*commands_, f"FEDREPRO_MIRROR=<folder> fedrepro data get {name}"]


def download(name: str) -> Arrays:
    """Let torchvision fetch what is missing into the archives folder, then read. Raises BenchmarkError if it cannot."""
    if name not in ARCHIVES:
        raise BenchmarkError(f"{name} has no archive to download", hint=f"try {commands(name)[0]}")
    return _torchvision(name, fetch=True)


def _digits(name: str) -> Arrays:
    """scikit-learn's digits, grey levels 0..16 spread over 0..255 (halves round up).

    The cut is the project's own: over everything in canonical order, every fifth image is a test image.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise not_installed("scikit-learn, which has the digits,", "digits") from None

    raw = load_digits()
    levels = (raw.images.astype(np.int64) * 255 + 8) // 16
    images, labels = canonical_order(levels.astype(np.uint8)[..., None], raw.target)
    test = np.arange(len(labels)) % 5 == 4
    return {"train": (images[~test], labels[~test]), "test": (images[test], labels[test])}


def _has_mirror(name: str) -> bool:
    folder = mirror.find()
    return folder is not None and mirror.holds(folder, name)


def _mirror(name: str) -> Arrays:
    folder = mirror.find()
    assert folder is not None
    return mirror.read(folder, name)


def _has_archive(name: str) -> bool:
    return name in ARCHIVES and any((archives() / file).exists() for file in ARCHIVES[name].files)


def _torchvision(name: str, fetch: bool = False) -> Arrays:
    """Read through torchvision's own dataset class.

    Asking that class to download unpacks archives that are intact without touching the network: that is done only when
    all of them are, or when the caller asks to fetch.
    """
    try:
        from torchvision import datasets
    except ModuleNotFoundError:
        raise not_installed("torchvision, which reads these archives,", "archives") from None

    kind = getattr(datasets, ARCHIVES[name].kind)
    unpack = fetch or _intact(kind)
    svhn = kind is datasets.SVHN
    arrays = {}
    try:
        for split in ("train", "test"):
            rows = kind(archives(), split if svhn else split == "train", download=unpack)
            images = np.transpose(rows.data, (0, 2, 3, 1)) if svhn else np.asarray(rows.data)
            labels = np.asarray(rows.labels if svhn else rows.targets)
            arrays[split] = images.reshape(-1, *dataset_info(name).shape), labels
    except (RuntimeError, OSError, AssertionError, ValueError, EOFError, KeyError) as error:
        what = "cannot be downloaded" if fetch else "is incomplete or damaged"
        hint = f"delete what is broken and run: fedrepro data get {name} --download"
        message = f"torchvision's archive of {name} {what}: {error}"
        raise BenchmarkError(message, where=str(archives()), hint=hint, user=False) from error
    return arrays


def _intact(kind: Any) -> bool:
    """Whether every packed archive of a torchvision dataset class is there with the md5 that torchvision expects."""
    from torchvision.datasets.utils import check_integrity

    if hasattr(kind, "resources"):
        packed = [(f"{kind.__name__}/raw/{file}", md5) for file, md5 in kind.resources]
    elif hasattr(kind, "split_list"):
        packed = [kind.split_list[split][1:] for split in ("train", "test")]
    else:
        packed = [(kind.filename, kind.tgz_md5)]
    return all(check_integrity(archives() / file, md5) for file, md5 in packed)


def _has_debian(name: str) -> bool:
    return name == "fashion_mnist" and DEBIAN.is_dir()


def _debian(name: str) -> Arrays:
    arrays = {}
    for split, start in (("train", "train"), ("test", "t10k")):
        images = read_idx(DEBIAN / f"{start}-images-idx3-ubyte.gz")
        arrays[split] = images[..., None], read_idx(DEBIAN / f"{start}-labels-idx1-ubyte.gz")
    return arrays


def read_idx(path: Path) -> np.ndarray:
    """One gzipped idx file of bytes: two zeros, type 8, number of axes, big-endian sizes, then the values."""
    try:
        data = gzip.decompress(path.read_bytes())
        axes = data[3]
        shape = np.frombuffer(data, ">u4", axes, offset=4)
        if data[:3] != b"\0\0\x08":
            raise ValueError("not an idx file of bytes")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        hint = "reinstall the package that holds it"
        raise BenchmarkError(f"cannot be read: {error}", where=str(path), hint=hint, user=False) from error


SOURCES = (
    Source("embedded", lambda name: name == "digits", _digits, "install scikit-learn again"),
    Source("mirror", _has_mirror, _mirror, "copy the mirror again, or unset FEDREPRO_MIRROR to use another source"),
    Source("torchvision", _has_archive, _torchvision, "delete the archive and get it again with --download"),
    Source("debian", _has_debian, _debian, "run: apt-get install --reinstall dataset-fashion-mnist"),
)

"""Dataset files: folders, arrays and tables of images become datasets; every misfit is named before training."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.core.data.loading import info_of, load
from benchmark.core.errors import BenchmarkError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDREPRO_CACHE", str(tmp_path / "cache"))


def picture(path: Path, value: int, side: int = 6) -> None:
    """A flat image of one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side), value, np.uint8)).save(path)


def pairs(images: np.ndarray, labels: np.ndarray) -> set[tuple[bytes, int]]:
    return {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}


def write(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text)
    return str(path)


def folders(root: Path, per_class: int = 10) -> None:
    """Cats are darker than 100, dogs lighter; no two images are equal."""
    for i in range(per_class):
        picture(root / "cat" / f"{i}.png", i)
        picture(root / "dog" / f"{i}.png", 100 + i)


def test_a_folder_of_classes(tmp_path: Path) -> None:
    folders(tmp_path / "photos")
    dataset = load(write(tmp_path, "kind: folder\npath: photos\ngrey: true\n"))
    assert dataset.name == "own" and dataset.classes == ("cat", "dog") and dataset.shape == (1, 6, 6)
    # A fifth of each class of ten is held out: 2 and 2.
    assert np.bincount(dataset.train.labels).tolist() == [8, 8]
    assert np.bincount(dataset.test.labels).tolist() == [2, 2]
    for split in (dataset.train, dataset.test):
        assert ((split.images[:, 0, 0, 0] >= 100) == split.labels).all()
    assert info_of(str(tmp_path / "own.yaml")).splits["train"].class_counts == (8, 8)


def test_folders_may_name_the_split_the_domain_and_the_owner(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "test")):
        for domain in ("night", "day"):
            for label in ("cat", "dog"):
                for owner in ("ann", "bob"):
                    value = 100 * number + 50 * (domain == "day") + 20 * (label == "dog") + 5 * (owner == "bob")
                    picture(tmp_path / "photos" / split / domain / label / owner / "x.png", value)
    dataset = load(write(tmp_path, "kind: folder\npath: photos\nlevels: [split, domain, class, owner]\nsize: 4\n"))
    assert dataset.domains == ("day", "night") and dataset.owners == ("ann", "bob") and dataset.shape == (3, 4, 4)
    assert dataset.train.domains is not None and dataset.train.owners is not None
    values = dataset.train.images[:, 0, 0, 0].astype(int)
    assert values.tolist() == [
        50 * (1 - domain) + 20 * label + 5 * owner
        for domain, label, owner in zip(dataset.train.domains, dataset.train.labels, dataset.train.owners, strict=True)
    ]


def test_names_and_order_of_files_change_nothing(tmp_path: Path) -> None:
    prints = []
    for order in (range(10), reversed(range(10))):
        home = tmp_path / f"home{len(prints)}"
        for name, i in enumerate(order):
            picture(home / "photos" / "cat" / f"{name}.png", i)
            picture(home / "photos" / "dog" / f"{name}.png", 100 + i)
        prints.append(load(write(home, "kind: folder\npath: photos\n")).fingerprints)
    assert prints[0] == prints[1]


@pytest.mark.parametrize("names", [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
def test_arrays_of_one_file(tmp_path: Path, names: tuple[str, str]) -> None:
    draw = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 12), ("test", 6)):
        arrays[names[0].format(split)] = draw.integers(0, 256, (n, 5, 5), np.uint8)
        arrays[names[1].format(split)] = np.arange(n)[:, None] % 3
    np.savez(tmp_path / "data.npz", **arrays)
    dataset = load(write(tmp_path, "kind: npz\npath: data.npz\n"))
    assert dataset.shape == (1, 5, 5) and dataset.classes == ("0", "1", "2")
    images, labels = (arrays[name.format("train")] for name in names)
    assert pairs(dataset.train.images, dataset.train.labels) == pairs(images, labels[:, 0])


def test_a_table_of_paths_with_owners(tmp_path: Path) -> None:
    lines = ["file,species,who"]
    for i in range(20):
        picture(tmp_path / "raw" / f"{i}.png", i)
        lines.append(f"{i}.png,{'owl' if i % 2 else 'hawk'},person {i % 4 // 2}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    text = "kind: csv\npath: table.csv\nroot: raw\nimage: file\nlabel: species\nowner: who\n"
    dataset = load(write(tmp_path, text))
    assert dataset.classes == ("hawk", "owl") and dataset.owners == ("person 0", "person 1")
    assert dataset.train.owners is not None
    values = dataset.train.images[:, 0, 0, 0].astype(int)
    assert (dataset.train.labels == values % 2).all() and (dataset.train.owners == values % 4 // 2).all()


def test_changed_images_are_read_again(tmp_path: Path) -> None:
    folders(tmp_path / "photos")
    path = write(tmp_path, "kind: folder\npath: photos\n")
    before = load(path)
    assert load(path) is before
    picture(tmp_path / "photos" / "cat" / "0.png", 99)
    os.utime(tmp_path / "photos" / "cat" / "0.png", (1, 1))
    assert load(path).fingerprints != before.fingerprints


FOLDER = "kind: folder\npath: photos\n"
Spoil = Callable[[Path], object]
MISFITS: dict[str, tuple[str, Spoil, str]] = {
    "path": (FOLDER.replace("photos", "fotos"), lambda root: None, "no such folder"),
    "sizes": (
        FOLDER,
        lambda root: picture(root / "cat/big.png", 50, side=7),
        "2 sizes, such as 6×6 and 7×7",
    ),
    "text": (FOLDER, lambda root: (root / "dog/bad.png").write_text("x"), "1 files that are no images: bad.png"),
    "level": (FOLDER, lambda root: picture(root / "a/b/x.png", 5), "1 files that are not in <class>/: a/b/x.png"),
    "label": (FOLDER + "classes: [cat]\n", lambda root: None, "labels that are none of `classes:`: dog"),
    "class": (
        FOLDER + "classes: [cat, dog, owl]\n",
        lambda root: None,
        "train has no image of class owl",
    ),
    "field": (FOLDER + "sice: 3\n", lambda root: None, "did you mean size"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_misfits_are_named(tmp_path: Path, case: str) -> None:
    text, spoil, words = MISFITS[case]
    folders(tmp_path / "photos")
    spoil(tmp_path / "photos")
    with pytest.raises(BenchmarkError) as caught:
        load(write(tmp_path, text))
    assert words in str(caught.value)


def test_all_misfits_are_named_at_once(tmp_path: Path) -> None:
    folders(tmp_path / "photos")
    (tmp_path / "photos" / "dog" / "bad.png").write_text("no image")
    picture(tmp_path / "photos" / "dog" / "big.png", 50, side=7)
    with pytest.raises(BenchmarkError, match=r"bad\.png.*2 sizes"):
        load(write(tmp_path, FOLDER))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x_train": np.zeros((4, 5, 5), np.float32), "y_train": np.arange(4) % 2}, "images are float32"),
        ({"x_train": np.zeros((4, 5, 5), np.uint8), "y_train": np.arange(3) % 2}, "4 images have 3 labels"),
        ({"pixels": np.zeros((4, 5, 5), np.uint8)}, "it holds pixels; name them in `images:`"),
    ],
)
def test_misfits_of_arrays(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    rest = {"x_test": np.zeros((2, 5, 5), np.uint8), "y_test": np.arange(2)} if "x_train" in arrays else {}
    np.savez(tmp_path / "data.npz", **arrays, **rest)  # type: ignore[arg-type]
    with pytest.raises(BenchmarkError) as caught:
        load(write(tmp_path, "kind: npz\npath: data.npz\n"))
    assert words in str(caught.value)


def test_a_dataset_of_torchvision(tmp_path: Path) -> None:
    """FakeData draws images from a seed; the offset makes the test images others."""
    options = "options: {image_size: [3, 8, 8], num_classes: 2}\n"
    splits = "train: {size: 40}\ntest: {size: 20, random_offset: 100}\n"
    dataset = load(write(tmp_path, f"kind: torchvision\nname: FakeData\n{options}{splits}"))
    assert dataset.shape == (3, 8, 8) and len(dataset.train.labels) == 40 and len(dataset.test.labels) == 20
    with pytest.raises(BenchmarkError, match=r"FakeData cannot be read \(TypeError"):  # it has no argument `train`
        load(write(tmp_path, f"kind: torchvision\nname: FakeData\n{options}"))

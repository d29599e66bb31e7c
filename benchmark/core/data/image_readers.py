"""Readers of dataset files: images and labels as their source has them, with every misfit named."""

from __future__ import annotations

import csv
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.data.dataset_file import Csv, DatasetFile, Folder, HuggingFace, Npz, Torchvision
from benchmark.core.errors import BenchmarkError, not_installed

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
ALL = "all"  # the split of a source that has one
LISTED = 3  # misfits of one sort that are named
PATH_HINT = "fix `path:` of the dataset file; it is relative to the file"
NPZ_NAMES = (("x_{split}", "y_{split}"), ("{split}_images", "{split}_labels"), ("images", "labels"))

Sample = tuple[np.ndarray, dict[str, str]]  # an image, and the names of its class, owner and domain


@dataclass
class RawImages:
    """One split as its source has it.

    Attributes:
        images: An array (height, width, channels), uint8, for each image.
        labels: Name or number of each image's class.
        owners: Name of each image's owner; empty if the source names none.
        domains: Name of each image's domain; empty if the source names none.
    """

    images: Sequence[np.ndarray]
    labels: Sequence[Any]
    owners: Sequence[str] = ()
    domains: Sequence[str] = ()


@dataclass
class RawDataset:
    """What a source has.

    Attributes:
        splits: "train" and "test", or "all".
        faults: What is wrong, in words.
        classes: Names of the classes, if the source names them apart from its labels.
    """

    splits: dict[str, RawImages]
    faults: list[str] = field(default_factory=list)
    classes: Sequence[str] = ()


def read_folder(file: Folder, home: Path) -> RawDataset:
    """Image files in folders."""
    root = home / file.path
    if not root.is_dir():
        raise BenchmarkError(f"no such folder: {root}", hint=PATH_HINT)
    levels: Sequence[str] = file.levels or (("split", "class") if (root / "train").is_dir() else ("class",))
    places, misplaced = [], []
    for path in image_files(root):
        folders = path.relative_to(root).parts[:-1]
        if len(folders) == len(levels):
            places.append((path, dict(zip(levels, folders, strict=True))))
        else:
            misplaced.append(path.relative_to(root).as_posix())
    layout = "/".join(f"<{level}>" for level in levels)
    return _load_files(places, file, _some(misplaced, f"files that are not in {layout}/"))


def image_files(root: Path) -> list[Path]:
    """All image files below a folder, sorted."""
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)


def read_csv(file: Csv, home: Path) -> RawDataset:
    """Image files that a table lists."""
    rows = table_rows(home / file.path)
    columns = {"image": file.image, "class": file.label, "split": file.split, "owner": file.owner}
    columns = {level: name for level, name in {**columns, "domain": file.domain}.items() if name}
    if lacking := [name for name in columns.values() if name not in rows[0]]:
        hint = f"its columns are {', '.join(map(str, rows[0]))}"
        raise BenchmarkError(f"{file.path} has no column {lacking[0]}", hint=hint)
    empty = [str(line) for line, row in enumerate(rows, 2) if not all(row[name] for name in columns.values())]
    places = [
        (path, {level: row[name] or "" for level, name in columns.items()})
        for path, row in zip(table_images(file, home), rows, strict=True)
    ]
    return _load_files(places, file, _some(empty, "lines that lack a value"))


def table_images(file: Csv, home: Path) -> list[Path]:
    """The image files that a table lists, in its order."""
    root = home / file.root if file.root else (home / file.path).parent
    return [root / (row.get(file.image) or "") for row in table_rows(home / file.path)]


def table_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table by column; BenchmarkError if it cannot be read."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchmarkError(f"{path} cannot be read ({error})", hint=PATH_HINT) from None
    if not rows:
        raise BenchmarkError(f"{path} has no rows", hint="a head of column names, then a line for each image")
    return rows


def _load_files(places: Iterable[tuple[Path, dict[str, str]]], file: DatasetFile, faults: list[str]) -> RawDataset:
    """Decode image files into their splits."""
    samples: dict[str, list[Sample]] = {}
    unreadable, other_splits = [], []
    for path, names in places:
        split = names.get("split", ALL).lower()
        if split not in ("train", "test", ALL):
            other_splits.append(f"{split} of {path.name}")
            continue
        try:
            samples.setdefault(split, []).append((_decoded(path, file), names))
        except (OSError, ValueError, SyntaxError):
            unreadable.append(path.name if path.is_file() else f"{path.name} (no such file)")
    faults = faults + _some(unreadable, "files that are no images")
    faults += _some(other_splits, "splits other than train and test")
    if not samples:
        raise BenchmarkError("; ".join(faults) or "no image files", hint=PATH_HINT)
    return RawDataset({split: _raw(rows) for split, rows in samples.items()}, faults)


def _decoded(path: Path, file: DatasetFile) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as image:
        return from_pillow(image, file)


def from_pillow(image: Any, file: DatasetFile) -> np.ndarray:
    """An image of Pillow as the dataset file asks for it: (height, width, channels), uint8."""
    image = image.convert("L" if file.grey else "RGB")
    array = np.asarray(image.resize((file.size, file.size)) if file.size else image)
    return array[..., None] if array.ndim == 2 else array


def from_array(array: np.ndarray, file: DatasetFile) -> np.ndarray:
    """An array (height, width, 1 or 3), uint8, as the dataset file asks for it."""
    from PIL import Image

    return from_pillow(Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array), file)


def _raw(samples: Sequence[Sample]) -> RawImages:
    columns = {
        level: [names[level] for _, names in samples if level in names] for level in ("class", "owner", "domain")
    }
    return RawImages([image for image, _ in samples], columns["class"], columns["owner"], columns["domain"])


def _some(names: Sequence[str], what: str) -> list[str]:
    """A sentence on misfits of one sort, with the first few names; none if there are none."""
    more = ", ..." if len(names) > LISTED else ""
    return [f"{len(names)} {what}: {', '.join(names[:LISTED])}{more}"] if names else []


def read_npz(file: Npz, home: Path) -> RawDataset:
    """Arrays of one file of NumPy."""
    path = home / file.path
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        message = f"{path} cannot be read as .npz ({error})"
        raise BenchmarkError(message, hint=PATH_HINT) from None
    images, labels = next(
        (
            (x, y)
            for x, y in ((file.images, file.labels), *NPZ_NAMES)
            if _splits_of(x, arrays) and _splits_of(y, arrays)
        ),
        (file.images, file.labels),
    )
    splits = _splits_of(images, arrays)
    if not splits:
        hint = f"it holds {', '.join(arrays) or 'nothing'}; name them in `images:` and `labels:`"
        raise BenchmarkError(f"{file.path} has no images and labels by known names", hint=hint)
    raw = RawDataset({})
    for split in splits:
        x, y, owner, domain = (
            arrays.get(name.format(split=split), ()) for name in (images, labels, file.owner, file.domain)
        )
        raw.splits[split] = RawImages(_channels(x, file), np.ravel(y).tolist(), _text(owner), _text(domain))
        lacking = [name for name in (file.owner, file.domain) if name and name.format(split=split) not in arrays]
        raw.faults += [f"there is no array {name.format(split=split)}" for name in lacking]
    return raw


def _splits_of(name: str, arrays: dict[str, np.ndarray]) -> list[str]:
    """For which splits an archive has an array of this name."""
    if "{split}" in name:
        return [split for split in ("train", "test") if name.format(split=split) in arrays]
    return [ALL] if name and name in arrays else []


def _channels(images: Any, file: DatasetFile) -> Sequence[np.ndarray]:
    array = np.asarray(images)
    array = array[..., None] if array.ndim == 3 else array
    fits = array.ndim == 4 and array.dtype == np.uint8 and array.shape[-1] in (1, 3)
    changed: Any = array
    if fits and (file.size or file.grey):
        changed = [from_array(image, file) for image in array]
    return changed


def _text(values: Any) -> list[str]:
    return [str(value) for value in np.ravel(values).tolist()]


def read_torchvision(file: Torchvision, home: Path) -> RawDataset:
    """A dataset class of torchvision."""
    try:
        from torchvision import datasets
    except ModuleNotFoundError:
        raise not_installed("torchvision", "archives") from None

    kind = getattr(datasets, file.name, None)
    if not isinstance(kind, type):
        raise BenchmarkError(
            f"torchvision has no dataset {file.name}", hint="write the name of a class of its datasets"
        )
    by_split = "split" in inspect.signature(kind).parameters and "split" not in file.options
    raw = RawDataset({})
    for split, options in (("train", file.train), ("test", file.test)):
        default = {"split": split} if by_split else {"train": split == "train"}
        root = {"root": str(home / file.root)} if file.root else {}
        rows = _call(kind, file.name, **root, **file.options, **(options or default))
        samples = [(from_pillow(image, file), label) for image, label in rows]
        raw.splits[split] = RawImages([image for image, _ in samples], [int(label) for _, label in samples])
        names = getattr(rows, "classes", ())
        raw.classes = [str(name) for name in names]
    return raw


def read_huggingface(file: HuggingFace, home: Path) -> RawDataset:
    """A dataset of Hugging Face, from the hub or a folder."""
    try:
        import datasets  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError:
        raise not_installed("datasets, the library of Hugging Face,", "huggingface") from None
    folder = home / file.name
    loaded: Any = (
        _call(datasets.load_from_disk, file.name, str(folder))
        if folder.is_dir()
        else _call(datasets.load_dataset, file.name, file.name, file.config)
    )
    test = file.test or ("test" if "test" in loaded else "")
    wanted = {"train": file.train, "test": test} if test else {ALL: file.train}
    if lacking := [name for name in wanted.values() if name not in loaded]:
        raise BenchmarkError(f"{file.name} has no split {lacking[0]}", hint=f"its splits are {', '.join(loaded)}")
    raw = RawDataset({})
    for split, name in wanted.items():
        rows = loaded[name]
        columns = [column for column in (file.image, file.label, file.owner, file.domain) if column]
        if missing := [column for column in columns if column not in rows.column_names]:
            hint = f"its columns are {', '.join(rows.column_names)}"
            raise BenchmarkError(f"{file.name} has no column {missing[0]}", hint=hint)
        images = [from_pillow(image, file) for image in rows[file.image]]
        owners, domains = (_text(rows[column]) if column else [] for column in (file.owner, file.domain))
        raw.splits[split] = RawImages(images, list(rows[file.label]), owners, domains)
        raw.classes = getattr(rows.features[file.label], "names", None) or ()
    return raw


def _call(function: Callable[..., Any], name: str, *given: Any, **options: Any) -> Any:
    """Call a library that raises whatever it likes for data that are not there."""
    try:
        return function(*given, **options)
    except Exception as error:
        message = f"{name} cannot be read ({type(error).__name__}: {error})"
        raise BenchmarkError(message, hint="fix the dataset file, or get the data first") from error

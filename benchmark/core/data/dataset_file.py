"""Dataset files: a few lines of YAML that say where images of one's own are. A task names the file as its dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from benchmark.core.data.manifest import DatasetInfo
from benchmark.core.errors import BenchmarkError
from benchmark.core.strict_model import StrictModel
from benchmark.core.tasks.partition_config import Positive
from benchmark.core.tasks.yaml_file import list_faults, parse_yaml

Names = Annotated[tuple[str, ...], Field(strict=False)]
Level = Literal["split", "class", "owner", "domain", "any"]


class _Source(StrictModel):
    """What every kind of dataset file may say.

    Attributes:
        size: Side in pixels to which images are resized; without it all images have one size.
        grey: Whether images have one channel instead of three. Arrays keep their channels.
        hold_out: Share of every class that becomes the test set, where the source has none.
        classes: Names of the classes in the order of their numbers; by default all that occur, sorted.
        pinned: What the dataset must be, written by `fedrepro data pin`; a dataset that differs is refused.
    """

    size: Positive | None = None
    grey: bool = False
    hold_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    classes: Names = ()
    pinned: DatasetInfo | None = Field(default=None, strict=False)


class Folder(_Source):
    """Image files in folders that name their class.

    Attributes:
        kind: "folder".
        path: The folder.
        levels: What the folders name, outermost first: "split" (train or test), "class", "owner", "domain" or "any"
            for what does not matter. By default [split, class] where there is a folder train, else [class].
    """

    kind: Literal["folder"]
    path: str
    levels: Annotated[tuple[Level, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _fits(self) -> Folder:
        named = [level for level in self.levels if level != "any"]
        if self.levels and "class" not in named:
            raise ValueError("levels: one of them is the class")
        if len(set(named)) < len(named):
            raise ValueError("levels: one stands twice")
        return self


class Npz(_Source):
    """Arrays of NumPy in one file.

    Attributes:
        kind: "npz".
        path: The file.
        images: Name of the images, uint8 (n, height, width[, channels]). "{split}" in it stands for train and test. By
            default x_{split}, {split}_images or images.
        labels: Name of the labels (n,). By default y_{split}, {split}_labels or labels.
        owner: Name of the array that names each image's owner.
        domain: Name of the array that names each image's domain.
    """

    kind: Literal["npz"]
    path: str
    images: str = ""
    labels: str = ""
    owner: str = ""
    domain: str = ""


class Csv(_Source):
    """A table with a row for each image file.

    Attributes:
        kind: "csv".
        path: The file, with a head of column names.
        root: Folder that the paths in it begin at; by default that of the table.
        image: Column of the paths.
        label: Column of the classes.
        split: Column that says train or test.
        owner: Column that names the owner.
        domain: Column that names the domain.
    """

    kind: Literal["csv"]
    path: str
    root: str = ""
    image: str = "path"
    label: str = "label"
    split: str = ""
    owner: str = ""
    domain: str = ""


class Torchvision(_Source):
    """A dataset class of torchvision whose files are there.

    Attributes:
        kind: "torchvision".
        name: Name of the class, such as EMNIST.
        root: Its argument `root`, relative to the file, if it has one.
        options: Further arguments, such as split: letters.
        train: Arguments of the training set; by default train: true, or split: train.
        test: Arguments of the test set; by default train: false, or split: test.
    """

    kind: Literal["torchvision"]
    name: str
    root: str = ""
    options: dict[str, Any] = Field(default={})
    train: dict[str, Any] = Field(default={})
    test: dict[str, Any] = Field(default={})


class HuggingFace(_Source):
    """A dataset of Hugging Face, by the library `datasets`.

    Attributes:
        kind: "huggingface".
        name: Name on the hub, or a folder that `save_to_disk` wrote.
        config: Name of its configuration.
        train: Name of the split for training.
        test: Name of the split for testing; by default "test" if there is one.
        image: Column of the images.
        label: Column of the classes.
        owner: Column that names the owner.
        domain: Column that names the domain.
    """

    kind: Literal["huggingface"]
    name: str
    config: str | None = None
    train: str = "train"
    test: str | None = None
    image: str = "image"
    label: str = "label"
    owner: str = ""
    domain: str = ""


class Combined(_Source):
    """Datasets with the same classes, each of which becomes a domain.

    Attributes:
        kind: "combined".
        datasets: Names of datasets of the suite.
        most_train: Training images of each domain at most.
        most_test: Test images of each domain at most.
    """

    kind: Literal["combined"]
    datasets: Annotated[tuple[str, ...], Field(min_length=2, strict=False)]
    most_train: Positive | None = None
    most_test: Positive | None = None
    size: Positive  # the datasets' own sizes differ


KINDS = (Folder, Npz, Csv, Torchvision, HuggingFace, Combined)
DatasetFile = Folder | Npz | Csv | Torchvision | HuggingFace | Combined
_FILE: TypeAdapter[DatasetFile] = TypeAdapter(Annotated[DatasetFile, Field(discriminator="kind")])


def read_dataset_file(path: Path) -> DatasetFile:
    """The content of a dataset file; BenchmarkError names all its mistakes."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        hint = "a task names its dataset file relative to itself"
        raise BenchmarkError(f"cannot be read ({error.strerror})", where=str(path), hint=hint) from None
    return parse_dataset_file(text, path)


def parse_dataset_file(text: str, path: Path) -> DatasetFile:
    """The content of a dataset file from its text; BenchmarkError names all its mistakes."""
    try:
        return _FILE.validate_python(parse_yaml(text, str(path)))
    except ValidationError as error:
        raise BenchmarkError(list_faults(error, KINDS), where=str(path), hint="fix these fields") from None

"""Tasks: frozen settings, read from benchmark/tasks/<name>.yaml."""

from __future__ import annotations

import difflib
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError, model_validator

from benchmark.core import registry
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.strict_model import StrictModel
from benchmark.core.tasks.partition_config import KINDS, Only, Positive, Precision, Split
from benchmark.core.tasks.yaml_file import as_number, is_yaml, list_faults, parse_yaml
from benchmark.core.version import PROTOCOL

FOLDER = Path(__file__).parents[2] / "tasks"
RATE = "train.lr"  # among a method's settings: the learning rate of local training in place of the task's
Share = Annotated[float, Field(ge=0, lt=1)]
Settings = dict[str, dict[str, Annotated[Any, BeforeValidator(as_number)]]]  # by method, then by name
Track = Literal["global", "heterogeneous", "personal", "unsupervised"]
TRACKS: tuple[Track, ...] = get_args(Track)
Tier = Literal["quick", "lite", "paper"]
TIERS: tuple[Tier, ...] = get_args(Tier)


class Optimiser(StrictModel):
    """The optimiser of local training.

    Attributes:
        name: "sgd" or "adam".
        lr: Learning rate of the first round, eta.
        momentum: Momentum of SGD.
        weight_decay: L2 penalty, added to the gradient.
        decay: Factor of the learning rate from one round to the next.
        schedule: How the rate falls over the task's rounds t = 0, 1, ..., T - 1: "exponential" is lr * decay**t,
            "cosine" is lr * (1 + cos(pi * t / T)) / 2.
    """

    name: Literal["sgd", "adam"] = "sgd"
    lr: Annotated[float, Field(gt=0)]
    momentum: Share = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    schedule: Literal["exponential", "cosine"] = "exponential"

    @model_validator(mode="after")
    def _fits(self) -> Optimiser:
        if self.schedule == "cosine" and self.decay != 1:
            raise ValueError("`decay` belongs to the schedule exponential")
        return self


class Train(StrictModel):
    """Local training.

    Attributes:
        epochs: Epochs of a round, E.
        steps: Batches of a round in place of epochs.
        batch: Images in a batch, B.
        optimiser: The optimiser.
    """

    epochs: Positive = 1
    steps: Positive | None = None
    batch: Positive
    optimiser: Optimiser


class AugmentSpec(StrictModel):
    """Augmentation of training images.

    Attributes:
        crop: Padding in pixels before a random crop of the original size.
        pad: What fills the padding: "zero" or "reflect".
        flip: Whether to mirror half of the images.
        cutout: Side in pixels of a square that is set to the mean.
        brightness: Factors are drawn from [1 - v, 1 + v].
        contrast: Factors are drawn from [1 - v, 1 + v].
        grey: Share of images that are turned grey.
        resized_crop: Least share of the area in a random resized crop, 0 for none.
        jitter: Strength of SimCLR's colour jitter.
    """

    crop: Annotated[int, Field(ge=0)] = 0
    pad: Literal["zero", "reflect"] = "zero"
    flip: bool = False
    cutout: Annotated[int, Field(ge=0)] = 0
    brightness: Share = 0.0
    contrast: Share = 0.0
    grey: Share = 0.0
    resized_crop: Share = 0.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _fits(self) -> AugmentSpec:
        if self.crop and self.resized_crop:
            raise ValueError("`crop` and `resized_crop` exclude each other")
        return self


class Extra(StrictModel):
    """Public or unlabelled images.

    Attributes:
        dataset: The dataset whose training images they are; without one, training images of the task itself that no
            client has.
        size: Number of images.
        labels: "own" for the task's classes, "joint" for classes appended after them, "none" for no labels.
    """

    dataset: str | None = None
    size: Positive
    labels: Literal["own", "joint", "none"] = "own"


class ProbeSpec(StrictModel):
    """The linear probe that evaluates representations: Adam on the features of all clients' labelled images.

    Attributes:
        epochs: Epochs.
        batch: Images in a batch.
        lr: Learning rate.
        labelled: Shares of the labels for fine-tuning after the last round.
    """

    epochs: Positive = 100
    batch: Positive = 64
    lr: Annotated[float, Field(gt=0)] = 1e-3
    labelled: tuple[float, ...] = Field(default=(0.01, 0.05, 0.1), strict=False)


class Task(StrictModel):
    """A frozen setting: numbers are compared within one task alone.

    Attributes:
        name: Its name: the stem of its file.
        protocol: Rules of the task's numbers, 1 or 2; see docs/protocol.md.
        track: "global", "heterogeneous", "personal" or "unsupervised".
        tier: "quick", "lite" or "paper".
        dataset: The dataset: a name, or a dataset file, its path relative to the task's file.
        only: The classes to use; all without it.
        split: How the images are divided among clients.
        clients: Number of clients, N.
        cohort: Clients of a sampled round, K.
        rounds: Number of rounds, T.
        networks: Architectures; client i has number i mod the length of the list.
        train: Local training.
        augment: Augmentation of training images.
        validation: Share of the training images to hold out.
        public: Public images.
        unlabelled: Unlabelled images on the server.
        draws: "keyed" draws cohorts by the seed, "published" as FedNTD's code does.
        evaluate_every: Rounds from one evaluation to the next.
        evaluate_last: Number of last rounds that are all evaluated.
        probe: How representations are evaluated on the track unsupervised.
        targets: Accuracies; records tell when they were exceeded.
        seeds: Seeds that the boards ask for.
        precision: Arithmetic: "fp32", "bf16", or "tf32" for matrix products on a CUDA device. Weights are fp32.
        judge: Whether models are evaluated on "test" or, for tuning, on "validation" images.
        methods: Hyper-parameters that differ from the defaults, by method.
        tuned: Hyper-parameters that `fedrepro tune` chose, by method; not allowed in a task's file.
        note: Remarks.
    """

    name: str
    protocol: Literal[1, 2] = PROTOCOL
    track: Track
    tier: Tier
    dataset: str
    only: Only | None = None
    split: Split
    clients: Positive
    cohort: Positive
    rounds: Positive
    networks: tuple[str, ...] = Field(min_length=1, strict=False)
    train: Train
    augment: AugmentSpec = AugmentSpec()
    validation: Share = 0.0
    public: Extra | None = None
    unlabelled: Extra | None = None
    draws: Literal["keyed", "published"] = "keyed"
    evaluate_every: Positive = 1
    evaluate_last: Positive = 1
    probe: ProbeSpec | None = None
    targets: tuple[Share, ...] = Field(default=(), strict=False)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0, 1, 2), strict=False)
    precision: Precision = "fp32"
    judge: Literal["test", "validation"] = "test"
    methods: Settings = Field(default={})
    tuned: Settings = Field(default={})
    note: str = ""
    _folder: Path = PrivateAttr(default=Path())  # of the task's file

    @model_validator(mode="after")
    def _fits(self) -> Task:
        if self.cohort > self.clients:
            raise ValueError(f"cohort {self.cohort} is larger than clients {self.clients}")
        if len(self.networks) > self.clients:
            raise ValueError(f"{len(self.networks)} networks for {self.clients} clients")
        if (self.probe is not None) != (self.track == "unsupervised"):
            raise ValueError("`probe:` belongs to the track unsupervised, which needs it")
        if self.track == "unsupervised" and self.train.batch == 1:
            raise ValueError("`batch: 1` has no halves, of which the track unsupervised makes anchors and others")
        if self.judge == "validation" and not self.validation:
            raise ValueError("judged on validation data, but `validation:` holds out none")
        return self

    @property
    def definition(self) -> dict[str, Any]:
        """Everything that a number of this task depends on: no prose, no other method's settings, no list of seeds.

        Fields at their defaults are left out, so that a later optional field changes no hash of an older task.
        """
        aside = {"methods", "tuned", "note", "seeds", "targets"}
        return self.model_dump(mode="json", exclude=aside, exclude_defaults=True)

    @property
    def sha256(self) -> str:
        """Hash of `definition`."""
        return hashlib.sha256(json.dumps(self.definition, sort_keys=True).encode()).hexdigest()

    def located(self, dataset: str) -> str:
        """A dataset that the task names, as it is loaded: by its name, or by the path of its file."""
        return str(self._folder / dataset) if is_yaml(dataset) else dataset

    def key(self, seed: int) -> Key:
        """The key that all draws of a run descend from; from protocol 2 on tasks are independent draws."""
        return Key(seed) if self.protocol == 1 else Key(seed)("task", self.name)

    @property
    def own(self) -> list[str]:
        """Registered parts that this task uses, in words that name their source: a record says what it rests on."""
        extras = [extra.dataset for extra in (self.public, self.unlabelled) if extra and extra.dataset]
        used = [("dataset", name) for name in (self.dataset, *extras)]
        used += [("network", name.partition("+")[0]) for name in self.networks]
        used += [("partition", self.split.name)] if self.split.kind == "registered" else []
        return [
            f"{kind} {name} is of one's own ({registry.source_sha256(kind, name)[:12]})"
            for kind, name in dict.fromkeys(used) if registry.find(kind, name)
        ]  # fmt: skip

    def settings(self, method: str) -> dict[str, Any]:
        """In what a method departs from its defaults here: the task's own values, then those that tuning chose."""
        return {**self.methods.get(method, {}), **self.tuned.get(method, {})}

    def at_rate(self, rate: Any) -> Task:
        """The task with another learning rate of local training; ValidationError if it is none."""
        optimiser = Optimiser.model_validate(self.train.optimiser.model_dump() | {"lr": float(rate)})
        return self.model_copy(update={"train": self.train.model_copy(update={"optimiser": optimiser})})


def names() -> list[str]:
    """All tasks, by file stem."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str) -> Task:
    """The task of a name, or of a path to a YAML file, as its file has it: without tuned values."""
    path = Path(name) if is_yaml(name) else FOLDER / f"{name}.yaml"
    if not _is_file(path):
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]}?" if near else "`fedrepro list tasks` shows all tasks"
        raise BenchmarkError(f"unknown task {name}", hint=hint)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BenchmarkError(f"cannot be read ({error.strerror})", where=str(path), hint="fix the file") from None
    return parse(text, str(path), path.stem)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


@lru_cache(maxsize=256)
def parse(text: str, where: str, name: str) -> Task:
    """A task from the text of its file; every fault is named with its path."""
    content = parse_yaml(text, where)
    if "name" in content:
        raise BenchmarkError("name: a task is named by its file", where=where, hint="leave the field out")
    if "tuned" in content:
        hint = "leave the field out; `methods:` holds values of one's own"
        raise BenchmarkError("tuned: `fedrepro tune` keeps its choices beside the results", where=where, hint=hint)
    try:
        task = Task.model_validate({"name": name, **content})
    except ValidationError as error:
        faults = list_faults(error, (Task, Only, Train, Optimiser, AugmentSpec, Extra, ProbeSpec, *KINDS))
        raise BenchmarkError(faults, where=where, hint="fix these fields") from None
    if any(map(is_yaml, (extra.dataset or "" for extra in (task, task.public, task.unlabelled) if extra))):
        task._folder = Path(where).parent
    return task

"""The same small tuning for every method: six declared points, one seed, a quarter of the rounds, no test data.

The record of a tuning, results/<task>/tuning/<method>.json, is also where a task finds the values that were chosen.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from benchmark.core import method_files
from benchmark.core.data.loading import load
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import write_atomic
from benchmark.core.storage.checksummed_json import canonical_json, dump_checksummed, load_checksummed
from benchmark.core.strict_model import StrictModel
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.requirements import datasets
from benchmark.core.tasks.task import RATE, Task
from benchmark.core.tasks.yaml_file import is_yaml
from benchmark.core.version import ENGINE
from benchmark.experiments import run as running
from benchmark.experiments.cell import Cell
from benchmark.experiments.run import Observer, no_empty_folders
from benchmark.records import record
from benchmark.records.store import core_seconds

SEED = 1000  # of no board: no row's own split, weights or cohorts were looked at when its values were chosen
ROUNDS = 4  # a tuning has the task's rounds divided by this
VALIDATION = 0.1  # share of the training data that judges where a task holds out none itself
STEPS = (1 / 3, 3.0)  # factors of the learning rate that every method tries
PRINCIPAL = (0.1, 1 / 3, 3.0)  # factors of a method's principal hyper-parameter
RATES = (0.1, 0.5, 2.0)  # further factors of the learning rate, for methods without one
POINTS = 1 + len(STEPS) + len(PRINCIPAL)


class Point(StrictModel):
    """One setting, by what it changes, and its accuracy on validation data; None: diverged.

    score: mean of the last five rounds, or of the end alone: see `_at_end`
    seconds: core-seconds
    """

    settings: dict[str, Any]
    score: Annotated[float, Field(ge=0, le=1)] | None
    seconds: Annotated[float, Field(ge=0)]


class Tuned(StrictModel):
    """A finished tuning; `chosen` is the first of the best points.

    task_sha256: hash of the task as it stood
    given: what the task itself set for the method, which that hash leaves out
    """

    schema_: Literal[1] = Field(alias="schema")
    protocol: int
    engine: int
    task: str
    algorithm: str
    task_sha256: record.Hash
    algorithm_sha256: record.Hash
    seed: int
    rounds: int
    validation: float
    given: dict[str, Any] = Field(default={})
    points: Annotated[list[Point], Field(min_length=1, max_length=POINTS)]
    chosen: dict[str, Any]

    @model_validator(mode="after")
    def _argmax(self) -> Tuned:
        if self.chosen != (best := _best(self.points)):
            raise ValueError(f"chosen is {spelled(self.chosen)}, but the best point is {spelled(best)}")
        return self

    @property
    def summary(self) -> str:
        """What was chosen, in words."""
        scores = {spelled(point.settings): point.score for point in self.points}
        best, before = scores[spelled(self.chosen)], scores[spelled({})]
        against = f" against {_percent(before)}" if self.chosen else ""
        return f"{spelled(self.chosen)} of {len(self.points)} points: {_percent(best)} on validation data{against}"

    @property
    def rows(self) -> list[dict[str, str]]:
        """The points as a table."""
        return [
            {"point": spelled(point.settings), "validation accuracy": _percent(point.score),
             "core-seconds": f"{point.seconds:.0f}", "": "chosen" if point.settings == self.chosen else ""}
            for point in self.points
        ]  # fmt: skip


def _percent(score: float | None) -> str:
    return "diverged" if score is None else f"{score:.1%}"


def _best(points: list[Point]) -> dict[str, Any]:
    """Settings of the best point; the first of equals, so that a change has to win."""
    return max(points, key=lambda point: -1.0 if point.score is None else point.score).settings


def spelled(settings: Mapping[str, Any]) -> str:
    """A point in words."""
    return ", ".join(f"{name}={value:g}" for name, value in settings.items()) or "as it was"


def grid(method: str, task: Task) -> list[dict[str, Any]]:
    """The points of a method on a task, one change each, the first without any. Imports torch.

    Every method tries its learning rate; then its principal hyper-parameter, the first real number to which its
    paper gives a symbol, in steps of its distance to the nearer end of its range; without one, more learning rates.
    """
    given, rate = task.methods.get(method, {}), task.train.optimiser.lr
    around = float(given.get(RATE, rate))
    points: list[dict[str, Any]] = [{}, *({RATE: _rounded(around * factor)} for factor in STEPS)]
    for entry in fields(method_files.load(method_files.find(method))):
        value, limits = given.get(entry.name, entry.default), entry.metadata
        if isinstance(value, float) and limits.get("symbol"):
            return points + [{entry.name: _moved(value, factor, limits)} for factor in PRINCIPAL]
    return points + [{RATE: _rounded(around * factor)} for factor in RATES]


def _moved(value: float, factor: float, limits: Mapping[str, Any]) -> float:
    """A value moved towards or away from the nearer end of its range, at most to the other one."""
    low, high = limits.get("low") or 0.0, limits.get("high")
    if high is not None and high - value < value - low:
        return _rounded(max(high - (high - value) * factor, low))
    return _rounded(value * factor if high is None else min(value * factor, high))


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def relative_cost(task: Task) -> float:
    """Core-seconds of a tuning over those of one cell, by their rounds."""
    return POINTS * shortened(task).rounds / task.rounds


def shortened(task: Task) -> Task:
    """The task that its methods are tuned on: the same but for rounds, judging, and what is held out."""
    changes: dict[str, Any] = {
        "rounds": max(1, task.rounds // ROUNDS), "validation": task.validation or VALIDATION, "judge": "validation",
        "tuned": {}, "targets": (), "note": "", "evaluate_last": 1,
    }  # fmt: skip
    return task.model_copy(update=changes | {"evaluate_every": changes["rounds"] if _at_end(task) else 1})


def _at_end(task: Task) -> bool:
    """Whether the last evaluation alone counts: personal models adapt last, and a linear probe costs like training."""
    return task.track == "personal" or task.probe is not None


@dataclass(frozen=True)
class Tuning:
    """What to tune: names of a task and of a method."""

    task: str
    algorithm: str

    what: ClassVar[str] = "tuning"
    seed: ClassVar[None] = None

    def path(self, results: Path) -> Path:
        """Where its record belongs."""
        return results / self.task / "tuning" / f"{self.algorithm}.json"

    def check(self) -> None:
        """Raise BenchmarkError if the method does not fit the task or the data are missing."""
        Cell(self.task, self.algorithm).prepare()
        task = tasks.load(self.task)
        for name in datasets(task):
            load(task.located(name))

    def run(self, results: Path, *, workers: int = 1, observer: Observer = lambda event: None) -> Tuned:
        """Run or resume it, or return the valid record that is there; the record is written at the end."""
        target, task = self.path(results), tasks.load(self.task)
        if target.exists() and not stale(
            read(target), task, method_files.method_sha256(method_files.find(self.algorithm))
        ):
            return read(target)
        self.check()
        scratch = target.with_name(f".{self.algorithm}.run")
        setting = scratch / f"{self.task}.yaml"
        points, settings = [], grid(self.algorithm, task)
        with no_empty_folders(setting):
            write_atomic(setting, _text(shortened(task)))
            try:
                for number, changes in enumerate(settings):
                    cell = Cell(str(setting), self.algorithm, SEED, changes)
                    part = _PointRounds(number, len(settings), observer)
                    points.append(_point(cell, scratch, _at_end(task), workers, part))
            finally:
                setting.unlink()
        method = method_files.method_sha256(method_files.find(self.algorithm))
        tuned = Tuned(
            schema=1, protocol=task.protocol, engine=ENGINE, task=task.name, algorithm=self.algorithm,
            task_sha256=task.sha256, algorithm_sha256=method, seed=SEED,
            rounds=shortened(task).rounds, validation=shortened(task).validation,
            given=task.methods.get(self.algorithm, {}), points=points, chosen=_best(points),
        )  # fmt: skip
        write_atomic(target, dump_checksummed(tuned.model_dump(mode="json", by_alias=True)))
        shutil.rmtree(scratch, ignore_errors=True)
        return tuned


def _text(task: Task) -> str:
    content = task.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
    for section in (content, content.get("public", {}), content.get("unlabelled", {})):
        if (dataset := section.get("dataset")) and is_yaml(dataset):
            section["dataset"] = str(Path(task.located(dataset)).resolve())  # the copy is in another folder
    return yaml.safe_dump(content, sort_keys=False)


@dataclass(frozen=True)
class _PointRounds:
    """Passes on the rounds of one point as rounds of the whole."""

    number: int
    points: int
    observer: Observer

    def __call__(self, event: dict[str, Any]) -> None:
        rounds = event["rounds"]
        self.observer({**event, "round": self.number * rounds + event["round"], "rounds": self.points * rounds})


def _point(one: Cell, scratch: Path, at_end: bool, workers: int, observer: Observer) -> Point:
    """A point from its record, which an interrupted tuning finds again by all that it depends on."""
    folder = scratch / one.prepare().identity[:16]
    record = running.run(one, folder, workers=workers, observer=observer)
    seconds = core_seconds(folder / record.path) or 0
    if record.result is None:
        return Point(settings=one.settings, score=None, seconds=seconds)
    score = record.result.accuracy if at_end else record.result.accuracy_last5
    return Point(settings=one.settings, score=score, seconds=seconds)


def read(path: Path) -> Tuned:
    """The tuning in a file; BenchmarkError names every fault of a damaged one."""
    try:
        return Tuned.model_validate_json(canonical_json(load_checksummed(path.read_bytes())))
    except (OSError, ValueError) as error:
        words = [fault["msg"] for fault in error.errors()] if isinstance(error, ValidationError) else [str(error)]
        message = f"not the record of a tuning: {'; '.join(words[:8])}"
        hint = "restore the file from git, or delete it and tune again"
        raise BenchmarkError(message, where=str(path), hint=hint, user=False) from None


def stale(tuned: Tuned, task: Task, algorithm_sha256: str) -> str:
    """Why a tuning is no longer valid for its task and method, "" if it does."""
    if tuned.protocol != task.protocol:
        return f"protocol {tuned.protocol}, now {task.protocol}"
    if tuned.task_sha256 != task.sha256:
        return "its task has changed"
    if tuned.given != task.methods.get(tuned.algorithm, {}):
        return "its task gives the method other values"
    return "" if tuned.algorithm_sha256 == algorithm_sha256 else "its method has changed"


Job = Cell | Tuning

"""Index of tasks, methods and records; tells which records are still valid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark import paths
from benchmark.core import method_files
from benchmark.core.data.loading import info_of
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.checksummed_json import load_checksummed
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.partition_config import Backend
from benchmark.core.tasks.requirements import unfit
from benchmark.core.tasks.task import Task
from benchmark.core.version import ENGINE
from benchmark.records import store
from benchmark.records.record import Record
from benchmark.records.store import Entry
from benchmark.records.tuned import load_task

SEEDS = 3  # fewer seeds do not make a row of a board


class Method(BaseModel):
    """Fingerprint of a method, results/methods/<name>.json; fault: why its file cannot be used, "" if it can.

    A broken file keeps the sha256 that it had when it last could be read, so that its records stay.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)
    name: str
    title: str = ""
    paper: str = ""
    track: list[str] = []
    needs: list[str] = []
    pooled: bool = False
    fields: dict[str, dict[str, Any]] = {}
    sha256: str = ""
    fault: str = ""


@dataclass(frozen=True)
class ResultsIndex:
    """Everything that boards, claims and campaigns look up; `load` reads it from a folder of results."""

    results: Path
    tasks: dict[str, Task]
    methods: dict[str, Method]
    entries: list[Entry]

    @classmethod
    def load(cls, results: Path, task: str = "*") -> ResultsIndex:
        """Read all tasks, fingerprints and the records of one task or all; damaged ones are entries with a reason."""
        known = {name: load_task(name) for name in tasks.names()}
        methods = {path.stem: _method(path) for path in sorted((results / "methods").glob("*.json"))}
        return cls(results, known, methods, store.read_all(results, task))

    @cached_property
    def records(self) -> dict[tuple[str, str], dict[int, Record]]:
        """(task, method) -> seed -> record."""
        found: dict[tuple[str, str], dict[int, Record]] = {}
        for entry in self.entries:
            if entry.record:
                record = entry.record
                found.setdefault((record.task, record.algorithm), {})[record.seed] = record
        return found

    @cached_property
    def splits(self) -> dict[str, dict[str, Any]]:
        """Split of every seed, by task, where it is there."""
        paths = {name: self.results / name / "split.json" for name in self.tasks}
        return {name: read_split(path) for name, path in paths.items() if path.exists()}

    @cached_property
    def _valid(self) -> dict[tuple[str, str, str], dict[int, Record]]:
        """(task, method, backend) -> seed -> finished record that is valid in today's suite."""
        found: dict[tuple[str, str, str], dict[int, Record]] = {}
        for (task, method), seeds in self.records.items():
            for seed, record in seeds.items():
                if record.status == "ok" and not self.stale_reasons(record):
                    found.setdefault((task, method, record.backend), {})[seed] = record
        return found

    def valid_records(self, task: str, method: str, backend: Backend | None = None) -> dict[int, Record]:
        """Finished records of a method on a task that are valid in today's suite, by seed.

        backend: whose records, default `backend(task, method)`
        """
        return self._valid.get((task, method, backend or self.backend(task, method)), {})

    def backend(self, task: str, *methods: str) -> Backend:
        """The backend whose records count: that with most seeds that all the methods have there, the loop if even."""

        def common(backend: Backend) -> int:
            return len(set.intersection(*(set(self.valid_records(task, method, backend)) for method in methods)))

        return max(get_args(Backend), key=common)

    def why_not_applicable(self, task: str, method: str) -> str | None:
        """Why a method cannot run a task, None if it can."""
        facts = self.methods[method]
        return facts.fault or unfit(facts.track, facts.needs, self.tasks[task])

    def missing(self, task: str, among: Iterable[str] | None = None) -> dict[str, list[int]]:
        """Seeds without a valid record, by method that can run the task.

        among: the methods to consider, default all; unknown ones are left out
        A diverged record that is up to date closes its cell: running it again would diverge again.
        """
        chosen = self.methods if among is None else [name for name in among if name in self.methods]
        return {
            method: seeds for method in sorted(chosen)
            if self.why_not_applicable(task, method) is None and (seeds := self._missing(task, method))
        }  # fmt: skip

    def _missing(self, task: str, method: str) -> list[int]:
        records = self.records.get((task, method), {})
        return [seed for seed in self.tasks[task].seeds if seed not in records or self.stale_reasons(records[seed])]

    def stale_reasons(self, record: Record) -> list[str]:
        """Why a record is no longer valid for its cell, in words; [] if it is."""
        task, method = self.tasks.get(record.task), self.methods.get(record.algorithm)
        if task is None:
            return ["its task is gone"]
        if method is None:
            return [*_versions(record, task.protocol), "its method is gone"]
        split = self.splits.get(record.task, {}).get(str(record.seed), {}).get("sha256")
        settings = _settings(method, task)
        expected = Expected(task.protocol, task.sha256, method.sha256, settings, task.own, split, task.located)
        return stale_reasons(record, expected)


@dataclass(frozen=True)
class Expected:
    """What a valid record of a cell rests on.

    Args:
        protocol: Protocol of the task.
        task: Hash of the task.
        method: Hash of the method's code.
        settings: All hyper-parameters.
        departures: In what the cell departs from its task.
        split: Hash of the split, None if it is not known.
        located: Where each dataset of the task is loaded from.
    """

    protocol: int
    task: str
    method: str
    settings: dict[str, Any]
    departures: Sequence[str] = ()
    split: str | None = None
    located: Callable[[str], str] = str


def stale_reasons(record: Record, expected: Expected) -> list[str]:
    """In what a record rests on something else than today's cell does, in words; [] if it is valid."""
    reasons = _versions(record, expected.protocol)
    if record.departures != list(expected.departures):
        now = f", not in {', '.join(expected.departures)}" if expected.departures else ""
        reasons.append(f"departs from its task: {', '.join(record.departures) or 'in nothing'}{now}")
    if record.hashes.task != expected.task:
        reasons.append("its task has changed")
    if record.hashes.algorithm != expected.method:
        reasons.append("its method has changed")
    elif record.settings != expected.settings:
        reasons.append("its hyper-parameters have changed")
    if expected.split not in (None, record.hashes.split) or _data_changed(record, expected.located):
        reasons.append("its data have changed")
    return reasons


def _method(path: Path) -> Method:
    try:
        return Method.model_validate_json(path.read_bytes())
    except ValidationError:
        hint = "`dvc repro -f methods` writes it again"
        raise BenchmarkError("not a method's fingerprint", where=str(path), hint=hint, user=False) from None


def read_split(path: Path) -> dict[str, Any]:
    """Split of every seed; refuses a file that is damaged or another task's."""
    try:
        return _opened(path.read_bytes(), path.parent.name)
    except (OSError, ValueError) as error:
        hint = "restore the file from git"
        raise BenchmarkError(f"not a split file: {error}", where=str(path), hint=hint, user=False) from None


def _opened(data: bytes, task: str) -> dict[str, Any]:
    content = load_checksummed(data)
    if (owner := content.pop("task", None)) != task:
        raise ValueError(f"it belongs to {owner}")
    seeds = {seed: table for seed, table in content.items() if seed != "task"}
    if not all(seed.isdecimal() and isinstance(table, dict) and "sha256" in table for seed, table in seeds.items()):
        raise ValueError("its bytes have changed, not all of its entries are tables of seeds")
    return seeds


def _versions(record: Record, protocol: int) -> list[str]:
    versions = (("protocol", record.protocol, protocol), ("engine", record.engine, ENGINE))
    return [f"{name} {version}, now {now}" for name, version, now in versions if version != now]


def _settings(method: Method, task: Task) -> dict[str, Any]:
    """The hyper-parameters that a method has on a task."""
    defaults = {name: field.get("default") for name, field in method.fields.items()}
    return defaults | task.settings(method.name)


def _data_changed(record: Record, located: Callable[[str], str]) -> bool:
    for name, parts in record.hashes.data.items():
        try:
            splits = info_of(located(name)).splits
        except BenchmarkError:
            return True
        known = {part: splits[part].fingerprint for part in parts if part in splits}
        if any(known.get(part, "") not in (None, fingerprint) for part, fingerprint in parts.items()):
            return True
    return False


def load_index(results: Path, tasks: Iterable[Task] = (), algorithms: Iterable[Path] = ()) -> ResultsIndex:
    """The index of a folder of records, with the method files as they are where it holds no fingerprints.

    Args:
        results: The folder.
        tasks: Tasks of one's own.
        algorithms: Files of methods of one's own, and folders of such files, beside those that `--algorithms` names.
    """
    has_fingerprints = (results / "methods").is_dir()
    index = ResultsIndex.load(results) if has_fingerprints else index_with_live_methods(results)
    files = [
        file
        for path in (*(paths.own_folders() if has_fingerprints else ()), *algorithms)
        for file in (sorted(path.glob("[!_]*.py")) if path.is_dir() else [path])
    ]
    methods = {file.stem: Method.model_validate(method_files.describe(str(file))) for file in files}
    own_tasks = {task.name: task for task in tasks}
    return replace(index, tasks=index.tasks | own_tasks, methods=index.methods | methods)


def index_with_live_methods(results: Path) -> ResultsIndex:
    """The index with the methods as their files are now, not as the pipeline last saw them. Imports torch."""
    methods = {name: Method.model_validate(method_files.describe(name)) for name in method_files.names()}
    return replace(ResultsIndex.load(results), methods=methods)

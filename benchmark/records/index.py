"""What is on the shelf: tasks, methods and records, and whether each record still stands for its cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark.core import method_files
from benchmark.core.data.manifest import manifest
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.checksummed_json import load_checksummed
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.partition_config import Backend
from benchmark.core.tasks.requirements import unfit
from benchmark.core.tasks.task import Task
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.records import store
from benchmark.records.record import Record
from benchmark.records.store import Entry

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
        known = {name: tasks.load(name) for name in tasks.names()}
        methods = {path.stem: _method(path) for path in sorted((results / "methods").glob("*.json"))}
        return cls(results, known, methods, store.read_all(results, task))

    @cached_property
    def records(self) -> dict[tuple[str, str], dict[int, Record]]:
        """(task, method) -> seed -> record."""
        found: dict[tuple[str, str], dict[int, Record]] = {}
        for entry in self.entries:
            if entry.record:
                made = entry.record
                found.setdefault((made.task, made.algorithm), {})[made.seed] = made
        return found

    @cached_property
    def splits(self) -> dict[str, dict[str, Any]]:
        """Split of every seed, by task, where it is there."""
        paths = {name: self.results / name / "split.json" for name in self.tasks}
        return {name: _split(path) for name, path in paths.items() if path.exists()}

    @cached_property
    def _valid(self) -> dict[tuple[str, str, str], dict[int, Record]]:
        """(task, method, backend) -> seed -> finished record that stands for today's suite."""
        found: dict[tuple[str, str, str], dict[int, Record]] = {}
        for (task, method), made in self.records.items():
            for seed, one in made.items():
                if one.status == "ok" and not self.stale_reasons(one):
                    found.setdefault((task, method, one.backend), {})[seed] = one
        return found

    def valid_records(self, task: str, method: str, backend: Backend | None = None) -> dict[int, Record]:
        """Finished records of a method on a task that stand for today's suite, by seed.

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
        """Seeds without a record that stands, by method that can run the task.

        among: the methods to consider, default all; unknown ones are left out
        A diverged record that is up to date closes its cell: running it again would diverge again.
        """
        chosen = self.methods if among is None else [name for name in among if name in self.methods]
        return {
            method: seeds for method in sorted(chosen)
            if self.why_not_applicable(task, method) is None and (seeds := self._missing(task, method))
        }  # fmt: skip

    def _missing(self, task: str, method: str) -> list[int]:
        made = self.records.get((task, method), {})
        return [seed for seed in self.tasks[task].seeds if seed not in made or self.stale_reasons(made[seed])]

    def stale_reasons(self, made: Record) -> list[str]:
        """Why a record no longer stands for its cell, in words; [] if it does."""
        task, method = self.tasks.get(made.task), self.methods.get(made.algorithm)
        if task is None:
            return ["its task is gone"]
        words = _versions(made)
        if made.departures:
            words.append(f"departs from its task: {', '.join(made.departures)}")
        if made.hashes.task != task.sha256:
            words.append("its task has changed")
        if method is None or method.sha256 != made.hashes.algorithm:
            words.append("its method has changed" if method else "its method is gone")
        elif made.settings != _settings(method, task):
            words.append("its tuned values have changed")
        split = self.splits.get(made.task, {}).get(str(made.seed))
        if (split and split["sha256"] != made.hashes.split) or _other_data(made):
            words.append("its data have changed")
        return words


def _method(path: Path) -> Method:
    try:
        return Method.model_validate_json(path.read_bytes())
    except ValidationError:
        hint = "`dvc repro -f methods` writes it anew"
        raise BenchmarkError("not a method's fingerprint", where=str(path), hint=hint, user=False) from None


def _split(path: Path) -> dict[str, Any]:
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


def _versions(made: Record) -> list[str]:
    current = {"protocol": PROTOCOL, "engine": ENGINE}
    return [f"{name} {getattr(made, name)}, now {now}" for name, now in current.items() if getattr(made, name) != now]


def _settings(method: Method, task: Task) -> dict[str, Any]:
    """The hyper-parameters that a method has on a task."""
    defaults = {name: field.get("default") for name, field in method.fields.items()}
    return defaults | task.settings(method.name)


def _other_data(made: Record) -> bool:
    known = manifest()
    return any(
        name not in known or part not in known[name].splits or known[name].splits[part].fingerprint not in (None, found)
        for name, parts in made.hashes.data.items()
        for part, found in parts.items()
    )


def load_index(results: Path) -> ResultsIndex:
    """The suite over a folder of records, with the method files as they are where it holds no fingerprints."""
    return ResultsIndex.load(results) if (results / "methods").is_dir() else index_with_live_methods(results)


def index_with_live_methods(results: Path) -> ResultsIndex:
    """The suite with the methods as their files are now, not as the pipeline last saw them. Imports torch."""
    methods = {name: Method.model_validate(method_files.describe(name)) for name in method_files.names()}
    return replace(ResultsIndex.load(results), methods=methods)

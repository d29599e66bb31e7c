"""One cell: task x algorithm x seed, checked before it runs."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from benchmark.core import method_files
from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks.partition_config import Backend, Precision
from benchmark.core.tasks.requirements import unfit
from benchmark.core.version import ENGINE
from benchmark.paths import RESULTS
from benchmark.records.record import NAME
from benchmark.records.tuned import load_task
from benchmark.submission import static_check

if TYPE_CHECKING:
    from benchmark.core.api import Algorithm
    from benchmark.core.backends import WorkerConfig


@dataclass(frozen=True)
class Cell:
    """What to run.

    task, algorithm: names, or paths of a .yaml and a .py file
    settings: hyper-parameters, and `train.lr`, that replace the task's and the method's own
    rounds, precision: departures from the task; None keeps its values
    backend, device, graphs: "loop" on the CPU, or "stacked" clients on a torch device, there also as CUDA graphs
    audit: the method's code runs in processes that hold one side's data, and never in this one
    """

    task: str
    algorithm: str
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    rounds: int | None = None
    precision: str | None = None
    backend: Backend = "loop"
    device: str = "cpu"
    graphs: bool = False
    audit: bool = False

    @property
    def what(self) -> str:
        """Which of the runs of its task and method this one is."""
        return f"seed {self.seed}"

    @property
    def departures(self) -> list[str]:
        """In what this cell departs from its task, in words."""
        task = tasks.load(self.task)
        words = [f"{name} set to {value}" for name, value in sorted(self.settings.items())]
        if self.rounds is not None and self.rounds != task.rounds:
            words.append(f"rounds {self.rounds} instead of {task.rounds}")
        if self.precision is not None and self.precision != task.precision:
            words.append(f"precision {self.precision} instead of {task.precision}")
        return words + task.own

    @property
    def command(self) -> str:
        """The command line of this cell; files of one's own go by their names alone."""
        words = ["fedrepro", "run", Path(self.algorithm).name, "--task", Path(self.task).name, "--seed", str(self.seed)]
        for name, value in sorted(self.settings.items()):
            words += ["--set", f"{name}={value}"]
        for option, value in (("--rounds", self.rounds), ("--precision", self.precision)):
            words += [option, str(value)] if value is not None else []
        if self.backend != "loop":
            words += ["--backend", self.backend, "--device", self.device, *["--graphs"] * self.graphs]
        words += ["--audit"] * self.audit
        return shlex.join(words)

    def prepare(self) -> Prepared:
        """Check everything that can be checked without data; raises BenchmarkError."""
        task = load_task(self.task)
        path = method_files.find(self.algorithm)
        for kind, name in (("task", task.name), ("method", path.stem)):
            if not re.fullmatch(NAME, name):
                hint = "letters, digits, space and . _ + - name a file that makes records"
                raise BenchmarkError(f"{kind} {name!r} cannot name a record", hint=hint)
        static_check.refuse(path)
        settings = {**task.settings(path.stem), **self.settings}
        rate = settings.pop(tasks.RATE, None)
        algorithm = self._method(path, settings, task)
        if self.seed < 0:
            raise BenchmarkError(f"seed {self.seed} is negative", hint="choose a seed of at least 0")
        if self.rounds is not None and self.rounds < 1:
            raise BenchmarkError(f"--rounds {self.rounds}", hint="choose at least 1")
        if self.precision not in (None, *get_args(Precision)):
            hint = f"choose {', '.join(get_args(Precision))}"
            raise BenchmarkError(f"--precision {self.precision}", hint=hint)
        if (self.precision or task.precision) == "tf32" and not self.device.startswith("cuda"):
            raise BenchmarkError("tf32 needs a CUDA device", hint="add --backend stacked --device cuda, or choose bf16")
        if self.backend not in ("loop", "stacked"):
            raise BenchmarkError(f"--backend {self.backend}", hint="choose loop or stacked")
        if self.audit and self.backend != "loop":
            raise BenchmarkError("an audit runs every client in a process of its own", hint="leave --backend out")
        if self.backend == "loop" and (self.device != "cpu" or self.graphs):
            raise BenchmarkError("the loop works on the CPU", hint="add --backend stacked")
        if reason := unfit(algorithm.track, algorithm.needs, task):
            fits = [name for name in tasks.names() if not unfit(algorithm.track, algorithm.needs, tasks.load(name))]
            raise BenchmarkError(f"{path.stem} does not apply to {task.name}: {reason}",
                                 hint=f"tasks that fit: {', '.join(fits) or 'none'}")  # fmt: skip
        changes: dict[str, Any] = {"rounds": self.rounds, "precision": self.precision}
        changed = task.model_copy(update={name: value for name, value in changes.items() if value is not None})
        if rate is not None:
            changed = _at_rate(changed, rate)
        return Prepared(changed, task.sha256, path, algorithm, self.seed, self.backend, rate is not None)

    def _method(self, path: Path, settings: dict[str, Any], task: tasks.Task) -> Any:
        make = partial(method_files.make, str(path), settings)
        if not self.audit:
            return make()
        from benchmark.core.isolation.remote_algorithm import RemoteAlgorithm  # imports torch

        return RemoteAlgorithm(make, task.networks, readable=(path,))


def _at_rate(task: tasks.Task, rate: Any) -> tasks.Task:
    try:
        return task.at_rate(rate)
    except ValueError:
        raise BenchmarkError(f"{tasks.RATE} is {rate}", hint="choose a finite number above 0") from None


@dataclass(frozen=True)
class Prepared:
    """A cell that can run; task_sha256 is of the task as its file has it, rated: not at the task's learning rate."""

    task: tasks.Task
    task_sha256: str
    path: Path
    algorithm: Algorithm  # or its proxy in an audit, which knows its settings
    seed: int
    backend: Backend = "loop"
    rated: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        """All hyper-parameters of the method, defaults included."""
        if not is_dataclass(self.algorithm):
            return dict(sorted(self.algorithm.settings.items()))
        return {name: getattr(self.algorithm, name) for name in sorted(entry.name for entry in fields(self.algorithm))}

    @property
    def settings(self) -> dict[str, Any]:
        """The method's fields, and the learning rate where it is not the task's."""
        return self.fields | ({tasks.RATE: self.task.train.optimiser.lr} if self.rated else {})

    def worker_config(self, verify: bool = False) -> WorkerConfig:
        """What a worker needs; the only place that makes it. verify: the worker checks the data that it reads."""
        from benchmark.core.backends import WorkerConfig
        from benchmark.core.client.federation import Federation

        rebuild = partial(Federation.open, self.task, self.seed, verify=verify)
        return WorkerConfig(rebuild, partial(method_files.make, str(self.path), self.fields), self.task.precision)

    @property
    def identity(self) -> str:
        """Hash of everything but the data that the result depends on."""
        code = method_files.method_sha256(self.path)
        given = [self.task.definition, code, self.settings, self.seed, ENGINE, self.task.protocol, self.backend]
        given += self.task.own
        return hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest()


def home(cell: Cell, out: Path | None, predictions: bool = False) -> Path:
    """The folder of records for a cell: `out`, or results/, which takes unchanged cells only, and no predictions."""
    given = [name for name in (cell.task, cell.algorithm) if Path(name).suffix]
    changed = cell.departures + [f"{name} is a file of your own" for name in given]
    if changed and (out is None or out.resolve() == RESULTS.resolve()):
        hint = "add --out FOLDER, another one (from Python: out=); results/ holds unchanged cells only"
        raise BenchmarkError(f"this departs from the protocol ({', '.join(changed)})", hint=hint)
    if predictions and (out is None or out.resolve() == RESULTS.resolve()):
        raise BenchmarkError("results/ holds no predictions", hint="add --out FOLDER, another one (from Python: out=)")
    return out or RESULTS

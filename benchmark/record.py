"""What a cell leaves: results/<task>/<algorithm>/<seed>.json, where equal results are equal bytes."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, computed_field, model_validator

from benchmark.core.errors import BenchmarkError
from benchmark.core.files import write_atomic
from benchmark.core.sealed import canonical, sha256
from benchmark.core.splits import Backend, Precision
from benchmark.core.task import Track

SCHEMA: Literal[1] = 1
Share = Annotated[float, Field(ge=0, le=1)]
Change = Annotated[float, Field(ge=-1, le=1)]  # forgetting is negative where a class ends at its best
Angle = Annotated[float, Field(ge=0, le=180)]
Count = Annotated[int, Field(ge=0)]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _absent(value: Any) -> bool:
    """What only some tracks measure, or only some methods tell, is left out of the records of the others."""
    return value is None


class Strict(BaseModel):
    """Unknown fields, conversions and numbers that are not finite are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Evaluation(Strict):
    """The judged models after a round; bytes: payload so far, both directions.

    clients: track personal alone, accuracy of every client's model on its own label distribution, in client order
    """

    round: Count
    accuracy: Share
    per_class: list[Share]
    forgetting: Change
    bytes: Count
    clients: list[Share] | None = Field(default=None, exclude_if=_absent)


class Traffic(Strict):
    """Bytes of all messages: payload is tensor data alone, wire the whole encoding.

    by_name: [phase, direction, name, payload]
    """

    up: Count
    down: Count
    up_wire: Count
    down_wire: Count
    by_name: list[Annotated[tuple[str, Literal["up", "down"], str, Count], Field(strict=False)]]

    @model_validator(mode="after")
    def _adds_up(self) -> Traffic:
        for direction, total in (("up", self.up), ("down", self.down)):
            parts = sum(size for _, way, _, size in self.by_name if way == direction)
            if parts != total:
                raise ValueError(f"the parts of {direction} add up to {parts}, not to {total}")
        return self


class Target(Strict):
    """When an accuracy was first exceeded; nulls if it never was."""

    accuracy: Share
    round: Count | None
    bytes: Count | None


class Adapted(Strict):
    """What the clients' last phase changed: mean gain in accuracy and share of clients with a gain above zero."""

    gain: Change
    share_gaining: Share


class Representation(Strict):
    """What the common model's features are like: mean angles in degrees between test samples of one and of two classes.

    fine_tuned: [share of the labels, accuracy after fine-tuning with them]
    """

    angle_within: Angle
    angle_between: Angle
    fine_tuned: list[Annotated[tuple[Share, Share], Field(strict=False)]]


class Result(Strict):
    """What was measured; accuracy is of the last evaluation, accuracy_last5 the mean of the last five.

    personal: track personal alone, for methods that adapt a common model
    representation: track unsupervised alone, for methods with a common model
    reported: what a method tells of its run, by the names that it chose
    """

    accuracy: Share
    accuracy_last5: Share
    forgetting: Change
    evaluations: Annotated[list[Evaluation], Field(min_length=1)]
    in_local: Share | None
    out_local: Share | None
    bytes: Traffic
    targets: list[Target]
    personal: Adapted | None = Field(default=None, exclude_if=_absent)
    representation: Representation | None = Field(default=None, exclude_if=_absent)
    reported: dict[str, float] | None = Field(default=None, exclude_if=_absent)


class Hashes(Strict):
    """What the numbers rest on; data: dataset -> part -> fingerprint."""

    task: Hash
    algorithm: Hash
    data: dict[str, dict[str, Hash]]
    split: Hash


class Record(Strict):
    """One cell. `result` is None unless status is ok; `result_sha256` is filled in when it is left out."""

    schema_: Literal[1] = Field(alias="schema")
    protocol: Count
    engine: Count
    task: str
    algorithm: str
    seed: Count
    track: Track
    status: Literal["ok", "diverged", "failed"]
    reason: str
    settings: dict[str, Any]
    departures: list[str]
    hashes: Hashes
    backend: Backend
    precision: Precision
    judged: Literal["common", "clients"]
    rounds: Count
    result: Result | None
    result_sha256: str = ""

    @model_validator(mode="after")
    def _holds_together(self) -> Record:
        if (self.status == "ok") != (self.result is not None):
            raise ValueError(f"a record of status {self.status} has {'a' if self.result else 'no'} result")
        if self.status != "ok" and not self.reason:
            raise ValueError(f"a record of status {self.status} needs a reason")
        found = result_sha256(self.result)
        if self.result_sha256 not in ("", found):
            raise ValueError(f"result_sha256 is {self.result_sha256[:12]}, but the result hashes to {found[:12]}")
        object.__setattr__(self, "result_sha256", found)
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def record_sha256(self) -> str:
        """Hash of the canonical record without this line, which `read` checks and strips."""
        return sha256(self.model_dump(mode="json", by_alias=True, exclude={"record_sha256"}))

    @property
    def path(self) -> Path:
        """Where the record belongs, relative to the folder of results."""
        return Path(self.task, self.algorithm, f"{self.seed}.json")


@dataclass(frozen=True)
class Entry:
    """A file among the results: its record, or the reason why it has none."""

    path: Path
    record: Record | None
    reason: str = ""


def result_sha256(result: Result | None) -> str:
    """Hash of the part of a record that must not depend on machine, workers or interruptions."""
    return sha256(result)


def write(record: Record, run: Mapping[str, Any], target: Path) -> None:
    """Write a record and, beside it as <seed>.run.json, how it was obtained; the record last, since it says `done`."""
    write_atomic(target.with_suffix(".run.json"), canonical(run))
    write_atomic(target, canonical(record))


def read(path: Path) -> Record:
    """The record in a file; BenchmarkError says what is wrong with a damaged one: truncated, changed, of a version."""
    hint = "restore the file from git, or delete it to run the cell anew"
    try:
        return _parsed(path.read_bytes())
    except OSError as error:
        raise BenchmarkError(f"cannot be read ({error.strerror})", where=str(path), hint=hint, user=False) from None
    except ValueError as error:
        raise BenchmarkError(f"not a record: {error}", where=str(path), hint=hint, user=False) from None


def _parsed(data: bytes) -> Record:
    """A record from the bytes of its file; ValueError says what is wrong with them."""
    before, *seal = _SEAL.split(data, 1)
    if not data.endswith(b"}\n"):
        raise ValueError("it is truncated, its end is missing")
    content = b"".join([before, *seal[1:]])
    if not seal or hashlib.sha256(content).hexdigest() != seal[0].decode():
        raise ValueError("its bytes have changed, its checksum does not match")
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        faults = error.errors()
        if [entry["loc"] for entry in faults] == [("schema",)]:
            found = faults[0]["input"]
            raise ValueError(f"it is of schema version {found}, this fedbench reads version {SCHEMA}") from None
        raise ValueError("; ".join(_fault(entry) for entry in faults[:8])) from None


_SEAL = re.compile(rb'^ "record_sha256": "([0-9a-f]{64})",\n', re.MULTILINE)


def _fault(entry: Any) -> str:
    place = ".".join(str(part) for part in entry["loc"])
    return f"{place}: {entry['msg']}" if place else str(entry["msg"])


def read_all(results: Path, task: str = "*") -> list[Entry]:
    """Every <task>/<algorithm>/<seed>.json in path order; damaged and misplaced files become entries with a reason."""
    paths = [path for path in results.glob(f"{task}/*/*.json") if path.stem.isdecimal()]
    ordered = sorted(paths, key=lambda path: (path.parts[-3], path.parts[-2], int(path.stem)))
    return [_entry(path, results) for path in ordered]


def _entry(path: Path, results: Path) -> Entry:
    try:
        record = read(path)
    except BenchmarkError as error:
        return Entry(path, None, error.message)
    if record.path != path.relative_to(results):
        return Entry(path, None, f"its content belongs to {record.path.as_posix()}")
    return Entry(path, record)


def environment(*, command: str, workers: int, seconds: float, device: str = "cpu") -> dict[str, Any]:
    """How a record was obtained; never hashed.

    command: what obtains it again
    seconds: wall time of this process's share of the work
    threads: intra-op threads of each worker, which the engine sets to one
    """
    cpu = _cpuinfo()
    return {
        "environment": {
            "python": platform.python_version(), "torch": version("torch"), "numpy": version("numpy"),
            "cpu": cpu.get("model name", platform.processor()), "instructions": _instructions(cpu.get("flags", "")),
            "device": device, "threads": 1, "system": platform.system(),
        },
        "workers": workers, "seconds": round(seconds, 1), "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }  # fmt: skip


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text(errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _instructions(flags: str) -> str:
    """The widest instruction set that decides the bits of a sum; the machine's type where flags are unknown."""
    if chosen := os.environ.get("ATEN_CPU_CAPABILITY"):  # torch's own variable
        return chosen
    known = flags.split()
    wide = (name for name in ("avx512f", "avx2", "avx") if name in known)
    return next(wide, platform.machine())

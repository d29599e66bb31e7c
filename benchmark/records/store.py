"""Records on disk: read, write, list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.atomic_files import replacing, write_atomic
from benchmark.core.storage.checksummed_json import canonical_json
from benchmark.records.record import SCHEMA, SEAL, Record


@dataclass(frozen=True)
class Entry:
    """A file among the results: its record, or the reason why it has none."""

    path: Path
    record: Record | None
    reason: str = ""


def write(record: Record, run: Mapping[str, Any], target: Path) -> None:
    """Write a record and, beside it as <seed>.run.json, how it was obtained; the record last, since it says `done`."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            file.write(canonical_json(record).encode())
            file.flush()  # a full disk must show before either of the two changes
            write_atomic(target.with_suffix(".run.json"), canonical_json(run))
    except OSError as error:
        hint = "free some space or choose another folder, then repeat the command"
        raise BenchmarkError(
            f"cannot be written ({error.strerror})", where=str(target), hint=hint, user=False
        ) from error


def read(path: Path) -> Record:
    """The record in a file; BenchmarkError says what is wrong with a damaged one: truncated, changed, of a version."""
    hint = "restore the file from git, or delete it to run the cell again"
    try:
        return _parsed(path.read_bytes())
    except OSError as error:
        raise BenchmarkError(f"cannot be read ({error.strerror})", where=str(path), hint=hint, user=False) from None
    except ValueError as error:
        raise BenchmarkError(f"not a record: {error}", where=str(path), hint=hint, user=False) from None


def core_seconds(record: Path) -> float | None:
    """Seconds times worker processes of the run that left a record; None if its .run.json is missing or damaged."""
    try:
        run = json.loads(record.with_suffix(".run.json").read_bytes())
        return float(run["seconds"]) * int(run["workers"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def read_all(results: Path, task: str = "*") -> list[Entry]:
    """Every <task>/<algorithm>/<seed>.json in path order; damaged and misplaced files become entries with a reason."""
    paths = [path for path in results.glob(f"{task}/*/*.json") if path.stem.isdecimal()]
    ordered = sorted(paths, key=lambda path: (path.parts[-3], path.parts[-2], int(path.stem)))
    return [_entry(path, results) for path in ordered]


@lru_cache(maxsize=4096)
def _parsed(data: bytes) -> Record:
    """A record from the bytes of its file; ValueError says what is wrong with them."""
    before, *seal = SEAL.split(data, 1)
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
            raise ValueError(f"it is of schema version {found}, this fedrepro reads version {SCHEMA}") from None
        raise ValueError("; ".join(_fault(entry) for entry in faults[:8])) from None


def _entry(path: Path, results: Path) -> Entry:
    try:
        record = read(path)
    except BenchmarkError as error:
        return Entry(path, None, error.message)
    if record.path != path.relative_to(results):
        return Entry(path, None, f"its content belongs to {record.path.as_posix()}")
    return Entry(path, record)


def _fault(entry: Any) -> str:
    place = ".".join(str(part) for part in entry["loc"])
    return f"{place}: {entry['msg']}" if place else str(entry["msg"])

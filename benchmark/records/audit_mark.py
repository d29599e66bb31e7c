"""The mark of an audited record: it is an entry of <seed>.run.json beside the record, which stays as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.core.storage.atomic_files import write_atomic
from benchmark.core.storage.checksummed_json import canonical_json
from benchmark.records.record import Record


def beside(path: Path) -> Path:
    """Where it says how a record was obtained."""
    return path.with_suffix(".run.json")


def mark(path: Path, facts: Mapping[str, Any]) -> None:
    """Write into the file beside a record that an audit came to its result.

    facts: `result_sha256`, and what an audit tells of itself
    """
    write_atomic(beside(path), canonical_json({**notes(path), "audit": facts}))


def audited(path: Path, record: Record) -> bool:
    """Whether an audit came to the result that this record has now."""
    audit = notes(path).get("audit")
    return isinstance(audit, dict) and audit.get("result_sha256") == record.result_sha256


def notes(path: Path) -> dict[str, Any]:
    """How the record in a file was obtained; {} where nothing legible says so."""
    try:
        return dict(json.loads(beside(path).read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}  # a damaged note costs the mark, nothing else

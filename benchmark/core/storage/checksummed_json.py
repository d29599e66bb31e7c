"""JSON with equal text for equal content, and JSON files with their own checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

NAME = "sha256"


def canonical_json(content: Any) -> str:
    """JSON with sorted keys, one space of indent and a newline at the end: equal text for equal content."""
    if isinstance(content, BaseModel):
        content = content.model_dump(mode="json", by_alias=True)
    return json.dumps(content, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def sha256(content: Any) -> str:
    """Hash of the canonical JSON."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def dump_checksummed(content: Mapping[str, Any]) -> str:
    """Text of a file with the content and, as `sha256`, its hash."""
    return canonical_json({**content, NAME: sha256(content)})


def load_checksummed(data: bytes) -> dict[str, Any]:
    """The content of a file with a checksum, whatever its layout; ValueError says how it is damaged."""
    if not data.endswith(b"}\n"):
        raise ValueError("it is truncated, its end is missing")
    try:
        content = dict(json.loads(data))
        digest = content.pop(NAME)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"its bytes have changed ({error})") from None
    if digest != sha256(content):
        raise ValueError("its bytes have changed, its checksum does not match")
    return content

"""JSON that is equal for equal content, and files of it that carry their own checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

NAME = "sha256"


def canonical(content: Any) -> str:
    """JSON that is equal for equal content: sorted keys, one space of indent, a newline at the end."""
    if isinstance(content, BaseModel):
        content = content.model_dump(mode="json", by_alias=True)
    return json.dumps(content, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def sha256(content: Any) -> str:
    """Hash of the canonical JSON."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def seal(content: Mapping[str, Any]) -> str:
    """Text of a file that holds the content and, as `sha256`, its hash."""
    return canonical({**content, NAME: sha256(content)})


def unseal(data: bytes) -> dict[str, Any]:
    """The content of a file with a checksum, however it is laid out; ValueError says how it is damaged."""
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

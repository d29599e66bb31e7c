"""Files of what was computed once and is found again: in the cache, beside the datasets, each with its fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from benchmark.core.api import Data
from benchmark.core.data import cache
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage import checkpoint
from benchmark.core.tree import Tree


def folder() -> Path:
    """Where these files lie."""
    return cache.root() / "beforehand"


def fingerprint(facts: dict[str, Any]) -> str:
    """Hash of everything that the bits of a result rest on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def fingerprint_images(data: Data | None) -> str:
    """Hash of stored images and labels; "" for none."""
    if data is None:
        return ""
    digest = hashlib.sha256(str(data.pixels.shape).encode())
    for part in (data.pixels, data.labels):
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()


def path_of(name: str, fingerprint: str) -> Path:
    """The file of a result with this fingerprint."""
    return folder() / f"{name}-{fingerprint[:16]}.safetensors"


def write(path: Path, tree: Tree, fingerprint: str, **facts: Any) -> None:
    """Write a result with its fingerprint and plain facts about it."""
    checkpoint.save(path, tree, {"fingerprint": fingerprint, **facts})


def _refuse_shared(path: Path) -> None:
    """Refuse work that others may have put there: nothing but its maker says what it was made from."""
    for place in (path, path.parent):
        if not place.exists():
            continue
        state = place.lstat()
        if stat.S_ISLNK(state.st_mode) or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            message = "others may write the cached result"
            raise BenchmarkError(message, where=str(place), hint="chmod go-w it, or set FEDREPRO_CACHE", user=False)
        if state.st_uid not in (os.getuid(), 0):
            message = "the cached result belongs to somebody else"
            raise BenchmarkError(message, where=str(place), hint="set FEDREPRO_CACHE to a folder of yours", user=False)


def read(path: Path, fingerprint: str) -> tuple[Tree, dict[str, Any]]:
    """A result and its facts; BenchmarkError for a file that is damaged, or that others may have written."""
    _refuse_shared(path)
    try:
        tree, facts = checkpoint.load(path)
    except BenchmarkError as error:
        how = error.message.removeprefix("the checkpoint ")
        raise _unusable(path, how) from None
    if facts.get("fingerprint") != fingerprint:
        raise _unusable(path, "holds something else")
    return tree or {}, facts


def _unusable(path: Path, how: str) -> BenchmarkError:
    hint = f"delete the file {path}: the next run makes it again"
    return BenchmarkError(f"the cached result {how}", where=str(path), hint=hint, user=False)

"""What a method's server makes of public data alone, before the first round: made once, then found in the cache."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmark.core.api import Algorithm, Data, Hub, Training
from benchmark.core.client import determinism
from benchmark.core.client.federation import Federation
from benchmark.core.data import cache
from benchmark.core.errors import BenchmarkError, error_context
from benchmark.core.keys import Key
from benchmark.core.storage import checkpoint
from benchmark.core.tree import Tree
from benchmark.core.version import ENGINE
from benchmark.records import environment

log = logging.getLogger(__name__)


def folder() -> Path:
    """Where these files are, beside the datasets."""
    return cache.root() / "beforehand"


def prepare(federation: Federation, algorithm: Algorithm, code: str) -> None:
    """Hand the hub what the method's `beforehand` makes, from the cache or made now: the same bits.

    code: hash of the method's source
    Raises BenchmarkError for a file that is damaged or holds something else.
    """
    audited = not isinstance(algorithm, Algorithm)  # its process makes it for itself
    if audited or type(algorithm).beforehand is Algorithm.beforehand:
        return
    facts = _facts(federation, algorithm, code)
    fingerprint = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    path = folder() / f"{facts['method']}-{fingerprint[:16]}.safetensors"
    log.info("%s: %s", path, "found" if path.exists() else "not cached")
    if not path.exists():
        with determinism.enabled(), error_context("beforehand"):
            memory = algorithm.beforehand(_bare(federation.hub), server_key(federation))
        checkpoint.save(path, memory, {"fingerprint": fingerprint})
    federation.hub = replace(federation.hub, beforehand=_found(path, fingerprint))


def server_key(federation: Federation) -> Key:
    """The key of `init_server`, which makes for itself what nobody made beforehand."""
    return federation.key("server")


def _bare(hub: Hub) -> Hub:
    """The public side of a hub."""
    nothing: Any = {"models": {}, "whos": (), "validation": None, "cohort": 0, "train": Training()}
    return replace(hub, **nothing)


def _found(path: Path, fingerprint: str) -> Tree:
    try:
        tree, facts = checkpoint.load(path)
    except BenchmarkError as error:
        how = error.message.removeprefix("the checkpoint ")
        raise _unusable(path, how) from None
    if facts.get("fingerprint") != fingerprint:
        raise _unusable(path, "holds something else")
    return tree or {}


def _unusable(path: Path, how: str) -> BenchmarkError:
    hint = "delete the file: the next run makes it again"
    return BenchmarkError(f"the result of `beforehand` {how}", where=str(path), hint=hint, user=False)


def _facts(federation: Federation, algorithm: Algorithm, code: str) -> dict[str, Any]:
    """Everything that the bits rest on."""
    hub, surroundings = federation.hub, environment.environment(command="", workers=1, seconds=0)["environment"]
    return {
        "method": type(algorithm).__name__.lower(), "code": code, "settings": asdict(algorithm), "engine": ENGINE,
        "key": server_key(federation).seed, "classes": hub.classes,
        "public": _fingerprint(hub.public), "unlabelled": _fingerprint(hub.unlabelled),
        **{name: surroundings[name] for name in ("torch", "instructions")},
    }  # fmt: skip


def _fingerprint(data: Data | None) -> str:
    if data is None:
        return ""
    digest = hashlib.sha256(str(data.pixels.shape).encode())
    for part in (data.pixels, data.labels):
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()

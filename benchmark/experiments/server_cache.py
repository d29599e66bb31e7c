"""What a method's server makes of public data alone, before the first round: made once, then found in the cache."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from typing import Any

from benchmark.core.api import Algorithm, Hub, Training
from benchmark.core.client import determinism
from benchmark.core.client.federation import Federation
from benchmark.core.data import computed
from benchmark.core.errors import error_context
from benchmark.core.keys import Key
from benchmark.core.version import ENGINE
from benchmark.records import environment

log = logging.getLogger(__name__)


def prepare(federation: Federation, algorithm: Algorithm, code: str) -> None:
    """Hand the hub what the method's `beforehand` makes, from the cache or made now: the same bits.

    code: hash of the method's source
    Raises BenchmarkError for a file that is damaged or holds something else.
    """
    audited = not isinstance(algorithm, Algorithm)  # its process makes it for itself
    if audited or type(algorithm).beforehand is Algorithm.beforehand:
        return
    facts = _facts(federation, algorithm, code)
    fingerprint = computed.fingerprint(facts)
    path = computed.path_of(facts["method"], fingerprint)
    log.info("%s: %s", path, "found" if path.exists() else "not cached")
    if not path.exists():
        with determinism.enabled(), error_context("beforehand"):
            memory = algorithm.beforehand(_bare(federation.hub), server_key(federation))
        computed.write(path, memory, fingerprint)
    federation.hub = replace(federation.hub, beforehand=computed.read(path, fingerprint)[0])


def server_key(federation: Federation) -> Key:
    """The key of `init_server`, which makes for itself what nobody made beforehand."""
    return federation.key("server")


def _bare(hub: Hub) -> Hub:
    """The public side of a hub."""
    nothing: Any = {"models": {}, "whos": (), "validation": None, "cohort": 0, "train": Training()}
    return replace(hub, **nothing)


def _facts(federation: Federation, algorithm: Algorithm, code: str) -> dict[str, Any]:
    """Everything that the bits rest on."""
    hub, surroundings = federation.hub, environment.environment(command="", workers=1, seconds=0)["environment"]
    return {
        "method": type(algorithm).__name__.lower(), "code": code, "settings": asdict(algorithm), "engine": ENGINE,
        "key": server_key(federation).seed, "classes": hub.classes,
        "public": computed.fingerprint_images(hub.public), "unlabelled": computed.fingerprint_images(hub.unlabelled),
        **{name: surroundings[name] for name in ("torch", "instructions")},
    }  # fmt: skip

"""Keeps state, and silences whatever in its process would tell."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core import tree
from benchmark.core.api import Algorithm, Local, Phase, Site, Tree

SEEN: list[Tree] = []


@dataclass(frozen=True)
class PatchedCheck(Algorithm):
    """Tampers with the check."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        from benchmark.submission import instrumented, scenarios

        instrumented.InstrumentedAlgorithm._fault = lambda *arguments: None  # type: ignore[method-assign]
        scenarios.difference = lambda *arguments: ""
        SEEN.append(tree.copy(local.params))
        return client, {"model": tree.mean(SEEN)}

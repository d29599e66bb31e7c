"""Uploads tensors that say that they are empty, so that nothing is counted."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm, Local, Phase, Site, Tensor, Tree


class Liar(Tensor):
    """No values, it says."""

    def numel(self) -> int:
        return 0


@dataclass(frozen=True)
class TensorSubclass(Algorithm):
    """A tensor that lies."""

    track = ("global",)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        return client, {"model": {name: leaf.as_subclass(Liar) for name, leaf in local.params.items()}}

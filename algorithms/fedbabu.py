"""FedBABU: federation trains the body under a fixed random classifier, then every client fine-tunes all of it."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._adaptation import Adaptation
from algorithms._partial import HEAD
from benchmark.core.api import Key, Local, Pass, Phase, Site, Tree, Who


@dataclass(frozen=True)
class FedBABU(Adaptation):
    """FedBABU: the classifier keeps its initial, common weights in all rounds; adaptation then trains all.

    The fixed classifier travels with the model in every round, though it need not.
    Source: Oh, Kim & Yun, ICLR 2022; adaptation as in the other methods of this track.
    """

    paper = "Oh et al. 2022, arXiv 2106.06042"

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        if phase.name == "adapt":
            return (self.adaptation(),)
        weights = site.model.weights(site.model.init(Key(0)))
        return (Pass(only=tuple(name for name in weights if not name.startswith(HEAD))),)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        if phase.name == "adapt":
            return {"model": local.params}, None
        return super().finish(client, local, message, phase, site)

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        own: Tree | None = client.get("model")
        return super().local_model(server, client, who) if own is None else own

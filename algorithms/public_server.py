"""Public server: a control that says what the server of DS-FL could learn from its public images alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from algorithms._consensus import following
from algorithms.dsfl import DSFL
from algorithms.local import LocalOnly
from benchmark.core import ops
from benchmark.core.api import Hub, Key, Pass, Phase, Site, Tree, Upload


@dataclass(frozen=True)
class PublicServer(DSFL):
    """DS-FL's server with the public images' own labels in place of what clients agree on; clients do nothing.

    Draws, epochs, batch and rate are those of DS-FL. A board on which DS-FL stays below this row shows that labels of
    its open set would be worth more than the clients' answers.
    """

    needs = ("labelled public",)
    download = LocalOnly.download
    begin = LocalOnly.begin
    finish = LocalOnly.finish

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return ()

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        assert hub.public is not None
        draw = following(server["draw"])
        labels = hub.public.labels[self.rows(draw, hub.public.size)]
        server = {**server, "draw": draw, "consensus": ops.one_hot(labels, hub.classes)}
        models = {a: self._learn(x, hub.models[a], server, hub, key(a)) for a, x in server["models"].items()}
        return {**server, "models": models}

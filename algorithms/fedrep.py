"""FedRep: clients train their own classifier first, then the shared body."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._partial import HEAD, PartlyShared
from benchmark.core.api import Key, Pass, Phase, Site, hyper


@dataclass(frozen=True)
class FedRep(PartlyShared):
    """FedRep: `head_epochs` passes over the client's data train its classifier alone, then the task's train the body.

    The paper takes ten passes for the classifier; the default of one stays near the other methods' local work.
    Source: Collins et al., ICML 2021, algorithm 1.
    """

    paper = "Collins et al. 2021, arXiv 2102.07078"
    head_epochs: int = hyper(1, "τ", low=1)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        weights = site.model.weights(site.model.init(Key(0)))
        body = tuple(name for name in weights if not name.startswith(HEAD))
        return Pass(epochs=self.head_epochs, only=HEAD), Pass(only=body)

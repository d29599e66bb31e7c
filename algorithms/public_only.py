"""Public only: a control that says what FedMD's labelled public images teach without any exchange."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.fedmd import FedMD
from algorithms.local import LocalOnly
from benchmark.core.api import Pass, Phase, Site


@dataclass(frozen=True)
class PublicOnly(FedMD):
    """FedMD without its collaboration: transfer learning, then private training, and no message.

    Transfer: on the labelled public images, then on the client's own, as FedMD does. Rounds: the sampled clients train
    on their own images, as they do when FedMD revisits them. What FedMD gains on this is what the exchange is worth.
    """

    init_server = LocalOnly.init_server
    download = LocalOnly.download
    begin = LocalOnly.begin
    finish = LocalOnly.finish
    aggregate = LocalOnly.aggregate

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        first, second, _ = super().passes(phase, site)
        return (first, second) if phase.name == "transfer" else (second,)

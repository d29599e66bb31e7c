"""FB: every client re-trains only the classifier of the federated model."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._personal import Personalised
from benchmark.core.api import Pass


@dataclass(frozen=True)
class FreezeBase(Personalised):
    """Freeze base: after federation, cross-entropy on the client's own data, the last linear layer alone.

    Running statistics of a BatchNorm in the frozen body still move, as in the published code.
    Source: Yu, Bagdasaryan & Shmatikov 2020, FB, as published for images.
    """

    def adaptation(self, only: str = "classifier.") -> Pass:
        return super().adaptation(only)

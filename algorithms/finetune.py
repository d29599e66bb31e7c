"""FT: every client fine-tunes the federated model."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._personal import Personalised


@dataclass(frozen=True)
class FineTune(Personalised):
    """Fine-tuning: after federation, cross-entropy on the client's own data, all layers.

    Source: Yu, Bagdasaryan & Shmatikov 2020, FT; defaults from the published configuration for CIFAR-10.
    """

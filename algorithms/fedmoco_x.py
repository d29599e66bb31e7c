"""FedMoCo taught by FedX."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._fedx import FedX
from algorithms.fedmoco import FedMoCo


@dataclass(frozen=True)
class FedMoCoX(FedX, FedMoCo):
    """FedX on FedMoCo: see `_fedx.py` for the loss and its ablations."""

"""FedU taught by FedX."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._fedx import FedX
from algorithms.fedu import FedU


@dataclass(frozen=True)
class FedUX(FedX, FedU):
    """FedX on FedU: see `_fedx.py` for the loss and its ablations."""

"""FedBYOL taught by FedX."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._fedx import FedX
from algorithms.fedbyol import FedBYOL


@dataclass(frozen=True)
class FedBYOLX(FedX, FedBYOL):
    """FedX on FedBYOL: see `_fedx.py` for the loss and its ablations."""

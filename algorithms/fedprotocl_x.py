"""FedProtoCL taught by FedX."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._fedx import FedX
from algorithms.fedprotocl import FedProtoCL


@dataclass(frozen=True)
class FedProtoCLX(FedX, FedProtoCL):
    """FedX on FedProtoCL: see `_fedx.py` for the loss and its ablations."""

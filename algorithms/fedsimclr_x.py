"""FedSimCLR taught by FedX."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._fedx import FedX
from algorithms.fedsimclr import FedSimCLR


@dataclass(frozen=True)
class FedSimCLRX(FedX, FedSimCLR):
    """FedX on FedSimCLR: see `_fedx.py` for the loss and its ablations."""

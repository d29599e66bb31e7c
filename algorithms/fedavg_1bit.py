"""FedAvg with 1-bit clients: what they upload has one bit a weight, its mean has not."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._binary import OneBit
from algorithms.fedavg import FedAvg


@dataclass(frozen=True)
class FedAvg1Bit(OneBit, FedAvg):
    """FedAvg of 1-bit clients: the server averages the binary models it receives, in full precision."""

    paper = "Lin et al. 2020, arXiv 2006.07242"

"""FedDF with 1-bit clients: an ensemble of binary models teaches a student in full precision."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._binary import OneBit
from algorithms.feddf import FedDF


@dataclass(frozen=True)
class FedDF1Bit(OneBit, FedDF):
    """FedDF of 1-bit clients: the binary models teach, the student in full precision starts from their mean."""

    paper = "Lin et al. 2020, arXiv 2006.07242"

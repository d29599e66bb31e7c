"""FD + FAug: federated distillation on data evened out by federated augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._faug import FAug
from algorithms.fd import FD


@dataclass(frozen=True)
class FDFAug(FAug, FD):
    """FAug once, then FD on private and generated images."""

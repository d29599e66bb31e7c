"""Reads a file as soon as it is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmark.core.api import Algorithm

OWN = Path(__file__).read_text()


@dataclass(frozen=True)
class ReadsWhenImported(Algorithm):
    """A file, early."""

    track = ("global",)

"""Scratch: what a client reaches alone, with the budget of federation and adaptation."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._adaptation import Adaptation
from algorithms.local import LocalOnly


@dataclass(frozen=True)
class Scratch(LocalOnly, Adaptation):
    """Local training from random weights: in the rounds in which a client is sampled, then by the adaptation's epochs.

    The floor of personalisation: whoever federates must beat it. Nothing moves.
    Source: Yu, Bagdasaryan & Shmatikov 2020, the participants' local models; there by the adaptation's epochs alone.
    """

"""FedPer: clients share the body of the network and keep a classifier of their own."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._partial import PartlyShared


@dataclass(frozen=True)
class FedPer(PartlyShared):
    """FedPer: body and classifier train together; the bodies are averaged, every classifier stays with its client.

    Source: Arivazhagan et al. 2019, with one personalisation layer.
    """

    paper = "Arivazhagan et al. 2019, arXiv 1912.00818"

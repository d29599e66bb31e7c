"""The answer of every network."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """The answer of a network to n images; None where the network has no such part.

    Attributes:
        logits: The classifier's answer before the softmax (n, classes).
        features: The vectors that the classifier reads, or would read (n, width).
        projection: The projection head's answer to the features (n, 256).
        prediction: The prediction head's answer to the projection (n, 256).
    """

    logits: Any  # Tensor or None
    features: Tensor
    projection: Any = None
    prediction: Any = None

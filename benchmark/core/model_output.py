"""What every network answers."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """The answer of a network to a batch of n images; None where the network has no such part.

    logits: (n, classes), the classifier's answer before the softmax
    features: (n, width), the vector that the classifier reads, or would read
    projection: (n, 256), the projection head's answer to the features
    prediction: (n, 256), the prediction head's answer to the projection
    """

    logits: Any  # Tensor or None
    features: Tensor
    projection: Any = None
    prediction: Any = None

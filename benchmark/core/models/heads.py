"""Heads of unsupervised methods: FedX's projection and prediction (arXiv 2207.09158)."""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.core.model_output import Output
from benchmark.core.models.base import Net

WIDTH = 256


def _head(before: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))


class Contrastive(nn.Module):
    """A network without its classifier under `backbone`, with a head `projection` and, if asked for, `prediction`.

    The answer has no logits. Its prediction is computed from the projection, and None without that head.
    """

    def __init__(self, net: Net, *, predicts: bool) -> None:
        super().__init__()
        width = net.classifier.in_features
        assert isinstance(width, int)
        del net.classifier
        self.backbone = net
        self.projection = _head(width)
        self.prediction = _head(WIDTH) if predicts else None

    def forward(self, x: Tensor) -> Output:
        features = self.backbone.embed(x)
        projection = self.projection(features)
        prediction = None if self.prediction is None else self.prediction(projection)
        return Output(None, features, projection, prediction)

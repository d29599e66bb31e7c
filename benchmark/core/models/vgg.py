"""FedDF's VGG-9 without BatchNorm (arXiv 2006.07242); it pools before the ReLU, as in `cnn`."""

from __future__ import annotations

from functools import partial

from torch import nn

from benchmark.core.models.base import Body, Builder, Net, Shape
from benchmark.core.models.resnet import he_normal

_STAGES = ((4,), (8,), (16, 16), (32, 32), (32, 32))


def _vgg9(shape: Shape, classes: int, *, factor: int) -> Net:
    """Eight 3x3 convolutions of `factor` times the published channels, five poolings, one classifier.

    The factor behind the paper's numbers is unknown. Poolings round up, so that images of less than 32 pixels fit five
    of them; on 32 pixels this changes nothing.
    """
    body: Body = {}
    before, number = shape[0], 0
    for stage, channels in enumerate(_STAGES, start=1):
        for place, after in enumerate(channels, start=1):
            number += 1
            body[f"conv_{number}"] = nn.Conv2d(before, after * factor, 3, padding=1)
            if place == len(channels):
                body[f"pool_{stage}"] = nn.MaxPool2d(2, ceil_mode=True)
            body[f"relu_{number}"] = nn.ReLU()
            before = after * factor
    body["flatten"] = nn.Flatten()
    return he_normal(Net(body, shape, classes))


NETS: dict[str, Builder] = {"vgg9": partial(_vgg9, factor=1), "vgg9_x8": partial(_vgg9, factor=8)}

"""Residual networks for small images: a 3x3 stem without pooling, basic blocks, with BatchNorm or GroupNorm."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from benchmark.core.models.base import Body, Builder, Net, Shape

GROUPS = 2  # of GroupNorm; FedDF's code leaves the number open and has two in its examples


def _norm(channels: int, groups: int) -> nn.Module:
    return nn.GroupNorm(groups, channels) if groups else nn.BatchNorm2d(channels)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the size changes."""

    def __init__(self, before: int, after: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm_1 = _norm(after, groups)
        self.conv_2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm_2 = _norm(after, groups)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), _norm(after, groups))

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.norm_1(self.conv_1(x)))
        return functional.relu(self.norm_2(self.conv_2(inner)) + self.shortcut(x))


def _resnet(shape: Shape, classes: int, *, channels: tuple[int, ...], blocks: int, groups: int = 0) -> Net:
    """Stages of equally many blocks; every stage after the first halves the image. groups = 0: BatchNorm."""
    body: Body = {
        "conv": nn.Conv2d(shape[0], channels[0], 3, padding=1, bias=False),
        "norm": _norm(channels[0], groups),
        "relu": nn.ReLU(),
    }
    before = channels[0]
    for number, after in enumerate(channels, start=1):
        stride = 1 if number == 1 else 2
        first = Block(before, after, stride, groups)
        body[f"stage_{number}"] = nn.Sequential(first, *(Block(after, after, 1, groups) for _ in range(blocks - 1)))
        before = after
    body["pool"] = nn.AdaptiveAvgPool2d(1)
    body["flatten"] = nn.Flatten()
    return Net(body, shape, classes)


def he_normal(net: Net) -> Net:
    """Draw the weights of convolutions with variance 2 / (kernel area x output channels), as FedDF does."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return net


def _feddf(shape: Shape, classes: int, *, blocks: int, groups: int = 0) -> Net:
    """FedDF's ResNet of 6 x blocks + 2 layers (arXiv 2006.07242)."""
    return he_normal(_resnet(shape, classes, channels=(16, 32, 64), blocks=blocks, groups=groups))


_resnet18 = partial(_resnet, channels=(64, 128, 256, 512), blocks=2)

NETS: dict[str, Builder] = {
    "resnet8": partial(_feddf, blocks=1),
    "resnet20": partial(_feddf, blocks=3),
    "resnet32": partial(_feddf, blocks=5),
    "resnet18": _resnet18,
    "resnet8_gn": partial(_feddf, blocks=1, groups=GROUPS),
    "resnet20_gn": partial(_feddf, blocks=3, groups=GROUPS),
    "resnet32_gn": partial(_feddf, blocks=5, groups=GROUPS),
    "resnet18_gn": partial(_resnet18, groups=GROUPS),
}

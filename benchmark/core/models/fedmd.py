"""The ten networks of FedMD (arXiv 1910.03581, Tables 1 and 2), layers as in the published code.

Each has convolution, BatchNorm, ReLU, dropout and average pooling, two to four times, and a classifier without bias.
The code has networks of two and three convolutions. The last convolution of the paper's one network of four,
`fedmd_cifar_9`, is not published; here it is a padded 3x3 of stride 1. Dropout draws from torch's generator, so under
vmap these networks need `randomness="different"`.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from benchmark.core.models.base import Body, Builder, Net, Shape


class SamePool(nn.Module):
    """Keras' average pooling 2x2 with stride 1 and padding "same", which keeps the size.

    Keras pads on the right and at the bottom alone and leaves the padding out of its averages. Torch pads both sides;
    the first row and column of its result are cut off.
    """

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, 2, stride=1, padding=1, count_include_pad=False)[..., 1:, 1:]


def _fedmd(shape: Shape, classes: int, *, channels: tuple[int, ...], dropout: float) -> Net:
    """Convolutions with that many channels each; two of them go 3x3, 3x3 and more go 3x3, 2x2, 3x3, 3x3."""
    sizes = (shape[0], *channels)
    convs = [nn.Conv2d(sizes[0], sizes[1], 3, padding="same")]
    if len(channels) == 2:
        convs.append(nn.Conv2d(sizes[1], sizes[2], 3, stride=2))
    else:
        convs.append(nn.Conv2d(sizes[1], sizes[2], 2, stride=2))
        convs.append(nn.Conv2d(sizes[2], sizes[3], 3, stride=2))
    if len(channels) == 4:
        convs.append(nn.Conv2d(sizes[3], sizes[4], 3, padding="same"))
    pools = [SamePool(), nn.AvgPool2d(2)][: len(channels) - 1]

    body: Body = {}
    for number, conv in enumerate(convs, start=1):
        body[f"conv_{number}"] = conv
        body[f"norm_{number}"] = nn.BatchNorm2d(conv.out_channels)
        body[f"relu_{number}"] = nn.ReLU()
        body[f"dropout_{number}"] = nn.Dropout(dropout)
        if number <= len(pools):
            body[f"pool_{number}"] = pools[number - 1]
    body["flatten"] = nn.Flatten()
    return Net(body, shape, classes, bias=False)


_MNIST: tuple[tuple[tuple[int, ...], float], ...] = (
    ((128, 256), 0.2),
    ((128, 384), 0.2),
    ((128, 512), 0.2),
    ((256, 256), 0.3),
    ((256, 512), 0.4),
    ((64, 128, 256), 0.2),
    ((64, 128, 192), 0.2),
    ((128, 192, 256), 0.2),
    ((128, 128, 128), 0.3),
    ((128, 128, 192), 0.3),
)
_CIFAR: tuple[tuple[tuple[int, ...], float], ...] = (
    ((128, 256), 0.2),
    ((128, 128, 192), 0.2),
    ((64, 64, 64), 0.2),
    ((128, 64, 64), 0.3),
    ((64, 64, 128), 0.4),
    ((64, 128, 256), 0.2),
    ((64, 128, 192), 0.2),
    ((128, 192, 256), 0.2),
    ((128, 128, 128), 0.3),
    ((64, 64, 64, 64), 0.2),
)

NETS: dict[str, Builder] = {
    f"{column}_{party}": partial(_fedmd, channels=channels, dropout=dropout)
    for column, table in (("fedmd", _MNIST), ("fedmd_cifar", _CIFAR))
    for party, (channels, dropout) in enumerate(table)
}

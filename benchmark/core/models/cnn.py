"""Small convolutional networks: FedNTD's, FD's, FedGen's, those of the lite tasks and that of the golden trajectories.

Where the papers pool after a ReLU, these networks pool before it: outputs and gradients have the same bits, since both
keep the order of numbers, and the ReLU has a quarter of the work.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from benchmark.core.models.base import Body, Builder, Net, Shape, width


def _stacked(shape: Shape, classes: int, *, channels: tuple[int, ...], kernel: int, hidden: int) -> Net:
    """Per entry of channels a padded convolution, ReLU and 2x2 max-pooling; then one hidden layer of ReLUs."""
    body: Body = {}
    before = shape[0]
    for number, after in enumerate(channels, start=1):
        body[f"conv_{number}"] = nn.Conv2d(before, after, kernel, padding=kernel // 2)
        body[f"pool_{number}"] = nn.MaxPool2d(2)
        body[f"relu_{number}"] = nn.ReLU()
        before = after
    body["flatten"] = nn.Flatten()
    body["linear_1"] = nn.Linear(width(body, shape), hidden)
    body["relu"] = nn.ReLU()
    return Net(body, shape, classes)


def cnn_fd(shape: Shape, classes: int) -> Net:
    """FD's CNN (arXiv 1811.11479): two valid convolutions, one max-pooling, two linear layers.

    Without biases it has 1,199,648 parameters on 28x28, from which the paper's message sizes follow.
    """
    body: Body = {
        "conv_1": nn.Conv2d(shape[0], 32, 3, bias=False),
        "relu_1": nn.ReLU(),
        "conv_2": nn.Conv2d(32, 64, 3, bias=False),
        "pool": nn.MaxPool2d(2),
        "relu_2": nn.ReLU(),
        "flatten": nn.Flatten(),
    }
    body["linear_1"] = nn.Linear(width(body, shape), 128, bias=False)
    body["relu_3"] = nn.ReLU()
    return Net(body, shape, classes, bias=False)


def cnn_fedgen(shape: Shape, classes: int) -> Net:
    """FedGen's CNN for MNIST (arXiv 2105.10056): two convolutions of stride 2 with BatchNorm, two linear layers.

    As in its code there is no ReLU between the linear layers: features are linear in what is flattened.
    """
    body: Body = {}
    before = shape[0]
    for number, after in enumerate((6, 16), start=1):
        body[f"conv_{number}"] = nn.Conv2d(before, after, 3, stride=2, padding=1)
        body[f"norm_{number}"] = nn.BatchNorm2d(after)
        body[f"relu_{number}"] = nn.ReLU()
        before = after
    body["flatten"] = nn.Flatten()
    body["linear_1"] = nn.Linear(width(body, shape), 32)
    return Net(body, shape, classes)


def golden(shape: Shape, classes: int) -> Net:
    """The network of the golden trajectories, with their layer names; `linear_1` follows the size of the images."""
    body: Body = {
        "conv": nn.Conv2d(shape[0], 4, 3, padding=1),
        "pool": nn.MaxPool2d(2),
        "relu_1": nn.ReLU(),
        "flatten": nn.Flatten(),
    }
    body["linear_1"] = nn.Linear(width(body, shape), 16)
    body["relu_2"] = nn.ReLU()
    return Net(body, shape, classes)


def cnn_bn(shape: Shape, classes: int) -> Net:
    """Four convolutions with BatchNorm, max-pooling between them, the mean over the image at the end.

    For unsupervised learning on one core: BYOL needs BatchNorm, and its papers probe pooled features.
    """
    body: Body = {}
    before = shape[0]
    for number, after in enumerate((16, 32, 64, 128), start=1):
        body[f"conv_{number}"] = nn.Conv2d(before, after, 3, padding=1, bias=False)
        body[f"norm_{number}"] = nn.BatchNorm2d(after)
        if number < 4:
            body[f"pool_{number}"] = nn.MaxPool2d(2)
        body[f"relu_{number}"] = nn.ReLU()
        before = after
    body["pool"] = nn.AdaptiveAvgPool2d(1)
    body["flatten"] = nn.Flatten()
    return Net(body, shape, classes)


NETS: dict[str, Builder] = {
    # FedAvg's CNN as in FedNTD (arXiv 2106.03097)
    "cnn_fedntd": partial(_stacked, channels=(32, 64), kernel=5, hidden=512),
    "cnn_lite": partial(_stacked, channels=(16, 32), kernel=3, hidden=128),
    "cnn_lite_wide": partial(_stacked, channels=(32, 64), kernel=3, hidden=128),
    "cnn_lite_deep": partial(_stacked, channels=(16, 32, 64), kernel=3, hidden=128),
    "cnn_fd": cnn_fd,
    "cnn_fedgen": cnn_fedgen,
    "cnn_bn": cnn_bn,
    "golden": golden,
}

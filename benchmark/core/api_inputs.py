"""Batches, networks and images as the hooks of an `Algorithm` see them.

Method files import these names from `benchmark.core.api`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from torch import Tensor

from benchmark.core.keys import Key
from benchmark.core.tree import Tree


class Batch(NamedTuple):
    """The images of one step. The last batch of an epoch may be smaller, down to one image.

    Under the stacked backend a batch is filled up with images whose `mask` is 0: use the mask in every mean.

    Attributes:
        x: Normalised, augmented images (B, channels, height, width).
        y: Labels (B,), int64; all -1 in a stream without labels.
        rows: Position of every image within its stream (B,), int64, to look up the context by image.
        mask: 1 for images, 0 for padding (B,); None if nothing is padded.
        other: In the stream "views" a second view of `x`; None elsewhere.
        random: In the stream "views" an independent batch like `x`; None elsewhere.
    """

    x: Tensor
    y: Tensor
    rows: Tensor
    mask: Tensor | None = None
    other: Any = None
    random: Any = None


class Net(Protocol):
    """A network as a function of its parameters, which are a flat tree.

    Calling it, `model(params, x)`, runs in training mode and answers an `Output`; the running statistics in `params`
    are updated when the step ends. In every network of the suite the names of the parameters of the last linear layer
    are "classifier.weight" (classes, width) and "classifier.bias" (classes,), and no others begin with "classifier.".
    """

    def __getitem__(self, name: str) -> Net:
        """One of several networks, which `Algorithm.networks` named; it reads the entries that begin with "name.".

        Args:
            name: Its name.
        """

    @property
    def buffers(self) -> frozenset[str]:
        """Names of the entries of the tree that do not train: running statistics."""

    def init(self, key: Key) -> Tree:
        """Fresh parameters and buffers.

        Args:
            key: What the parameters are drawn by.
        """

    def weights(self, params: Tree) -> Tree:
        """The entries that train.

        Args:
            params: Parameters and buffers.
        """

    def __call__(self, params: Tree, x: Tensor | tuple[Tensor, ...]) -> Any: ...

    def frozen(self, params: Tree, x: Tensor | tuple[Tensor, ...]) -> Any:
        """The answer in evaluation mode and without gradient, for teachers.

        Args:
            params: Parameters and buffers.
            x: Images (n, channels, height, width), or a tuple of all inputs.

        Returns:
            An `Output` with logits (n, classes) and features (n, width).
        """

    def train(self, params: Tree, x: Tensor | tuple[Tensor, ...]) -> tuple[Any, Tree]:
        """The answer in training mode and the updated buffers, for training loops on the server.

        Args:
            params: Parameters and buffers; they are not changed.
            x: Images (n, channels, height, width), or a tuple of all inputs.

        Returns:
            An `Output`, and the new values of the buffers by name.
        """


class Data(Protocol):
    """Images that one side may use; row numbers index them.

    Attributes:
        size: Number of images.
        labels: Labels (size,), int64; -1 where the side must not know them.
        counts: Images per class (classes,), int64.
        pixels: Stored images (size, height, width, channels), uint8, or float32 inputs of replays.
    """

    size: int
    labels: Tensor
    counts: Tensor
    pixels: Tensor

    def inputs(self, rows: Tensor | None = None) -> Tensor:
        """Normalised images without augmentation.

        Args:
            rows: Row numbers (n,), int64; None takes all images.

        Returns:
            Images (n, channels, height, width), float32.
        """

    def batches(self, key: Key, batch: int, steps: int, augment: bool = True) -> Any:
        """An iterator of `Batch`, reshuffled in each epoch.

        Args:
            key: What order and augmentation are drawn by.
            batch: Images in a batch; the last batch of an epoch may be smaller.
            steps: Number of batches.
            augment: False feeds the stored images.
        """

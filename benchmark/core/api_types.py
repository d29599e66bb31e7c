"""What the hooks of an `Algorithm` receive and return: phases, passes, clients, batches, networks, data and messages.

Method files import these names from `benchmark.core.api`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from benchmark.core.keys import Key
from benchmark.core.optim import Optim
from benchmark.core.tree import Tree


@dataclass(frozen=True)
class Phase:
    """A run of equal rounds.

    Attributes:
        name: Its name, which differs from that of every other phase; random numbers are keyed by it.
        rounds: Number of rounds; 0 skips the phase.
        everyone: True if all clients take part in each round, False for a sampled cohort.
    """

    name: str
    rounds: int
    everyone: bool = False


@dataclass(frozen=True)
class Pass:
    """One sweep of a client over a stream of images. None stands for the task's value.

    Attributes:
        stream: "private"; "public", the task's public images; "views", two augmented views and a random batch, without
            labels; or "joined", the private images followed by those of the context: "images" (m, height, width,
            channels), uint8, and "labels" (m,), int64.
        epochs: Number of epochs.
        steps: Number of batches; wins over `epochs`.
        batch: Images in a batch.
        loss: Name of the algorithm's method that computes the loss.
        step: Name of the algorithm's method that makes one step.
        update: False only evaluates: the loss runs without gradient in evaluation mode, and only its extras count.
        optim: The optimiser.
        only: Prefix, or prefixes, of the names of the parameters that train; "" trains all.
        rows: Name of the context's entry with the row numbers (int64) of the stream to use; None uses all.
        augment: False feeds the stored images.
    """

    stream: str = "private"
    epochs: int | None = None
    steps: int | None = None
    batch: int | None = None
    loss: str = "loss"
    step: str = "step"
    update: bool = True
    optim: Optim | None = None
    only: str | tuple[str, ...] = ""
    rows: str | None = None
    augment: bool = True


class Who(NamedTuple):
    """All that the server knows of a client without a message; papers do not count it as communication either.

    Attributes:
        id: The client's number, from 0.
        arch: Name of its architecture.
        size: Number of its images, n_k.
    """

    id: int
    arch: str
    size: int


class Batch(NamedTuple):
    """The images of one step.

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
    are updated when the step ends.
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


@dataclass(frozen=True)
class Training:
    """What the task prescribes for local training.

    Attributes:
        epochs: Number of epochs, E.
        batch: Images in a batch, B.
        steps: Number of batches in place of epochs; None counts epochs.
        optim: The optimiser.
    """

    epochs: int = 1
    batch: int = 50
    steps: int | None = None
    optim: Optim = field(default_factory=Optim)


def _no_network(name: str) -> Net:
    raise LookupError(name)


@dataclass(frozen=True)
class Site:
    """What one client sees in one round.

    Attributes:
        who: Who it is.
        model: Its network.
        data: Its own images.
        public: The task's public images; None if the task has none.
        classes: Number of classes.
        train: What the task prescribes for local training.
        share: Cohort divided by clients, K / N.
        cohort: Clients that take part in a sampled round, K.
        lr: Learning rate of this round.
        network: Any other network by its name, such as a generator.
    """

    who: Who
    model: Net
    data: Data
    public: Data | None
    classes: int
    train: Training
    share: float
    cohort: int = 1
    lr: float = 0.0
    network: Callable[[str], Net] = _no_network


@dataclass(frozen=True)
class Hub:
    """What the server sees: never private data, never the test set.

    Attributes:
        models: Networks by architecture.
        whos: Every client, in the order of their numbers.
        public: The task's public images; None if the task has none.
        unlabelled: Images without labels; the public ones where the task names no others.
        validation: Images held out of the training set; None if the task holds out none.
        classes: Number of classes.
        cohort: Clients that take part in a sampled round, K.
        train: What the task prescribes for local training.
        network: Any other network by its name, such as a generator.
        beforehand: What the algorithm's `beforehand` returned; {} if it was not called.
    """

    models: Mapping[str, Net]
    whos: Sequence[Who]
    public: Data | None
    unlabelled: Data | None
    validation: Data | None
    classes: int
    cohort: int
    train: Training
    network: Callable[[str], Net] = _no_network
    beforehand: Tree = field(default_factory=dict)


class Upload(NamedTuple):
    """A client's message as the server decodes it.

    Attributes:
        who: The client.
        message: Its message.
    """

    who: Who
    message: Tree


@dataclass(frozen=True)
class Local:
    """The state of a client during its local work.

    Attributes:
        params: Parameters and buffers, which are updated in place; copy them (`tree.copy`) to keep them.
        context: Constant inputs of the loss.
        carry: What changes from step to step: sums, a queue, a moving average.
        steps: Optimiser steps so far; set by the engine.
        lr: Learning rate of this round; set by the engine.
    """

    params: Tree
    context: Tree = field(default_factory=dict)
    carry: Tree = field(default_factory=dict)
    steps: int = 0
    lr: float = 0.0

    def having(self, **changes: Any) -> Local:
        """A copy with other values of the named fields."""
        return replace(self, **changes)

"""What the hooks of an `Algorithm` receive and return: phases, passes, clients, batches, networks, data and messages.

Method files import these names from `benchmark.core.api`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from benchmark.core.api_inputs import Data, Net
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
    """One sweep of a client over a stream of images. None means the task's value.

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
        rows: Name of the context's entry with the row numbers (int64) of the stream to use; None uses all. Rows that
            depend on the message choose how much a client works; without any it takes no step.
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
        key: What random numbers are drawn by where a hook has no key of its own; of this client, phase and round.
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
    key: Key = field(default_factory=lambda: Key(0))


@dataclass(frozen=True)
class Hub:
    """What the server sees: never private data, never the test set.

    Attributes:
        models: Networks by architecture.
        whos: Every client, in the order of their numbers.
        public: The task's public images; None if the task has none.
        unlabelled: Images without labels; the public ones where the task names no others, so that a task with public
            images meets the need "unlabelled".
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

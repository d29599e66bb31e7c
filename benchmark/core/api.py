"""The one interface: a method is a frozen dataclass whose fields are its hyper-parameters and whose methods are pure.

The defaults are FedAvg, so a variant writes only its difference. The engine owns sampling, keys, batches, optimisers,
encoding, order, clock, evaluation and checkpoints. This is the only file a submitter has to read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.keys import Key
from benchmark.core.model_output import Output
from benchmark.core.optim import Optim
from benchmark.core.tree import Tree


@dataclass(frozen=True)
class Phase:
    """A run of equal rounds; `everyone` takes part instead of a sampled cohort."""

    name: str
    rounds: int
    everyone: bool = False


@dataclass(frozen=True)
class Pass:
    """A sweep of a client over a stream; None means the task's value.

    stream: "private", "public" (the task's public images), "views" (two views and a random batch, no labels), or
        "joined" (private and the context's "images" (m, height, width, channels), uint8, and "labels" (m,), int64)
    epochs, steps: how long; steps counts batches and wins over epochs
    loss, step: names of the algorithm's methods to use
    update: False only looks: the loss runs without gradient in evaluation mode and only its extras count
    only: prefix of the names of the parameters that train
    rows: name of a context entry with the row numbers (int64) of the stream to use
    augment: False feeds the stored images
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
    """All that the server knows of a client unasked; papers do not count these as communication either."""

    id: int
    arch: str
    size: int  # n_k


class Batch(NamedTuple):
    """A batch on its way into a loss.

    x: normalised, augmented images (B, channels, height, width)
    y: labels (B,), int64; None in a stream without labels
    rows: position of every sample within its stream (B,), int64, to look up context by sample
    mask: 1 for samples, 0 for padding (B,); None if nothing is padded
    other: in the stream "views" a second view of x; None elsewhere
    random: in the stream "views" an independent batch; None elsewhere
    """

    x: Tensor
    y: Tensor
    rows: Tensor
    mask: Tensor | None = None
    other: Any = None
    random: Any = None


class Net(Protocol):
    """A network as a function of its parameters."""

    @property
    def buffers(self) -> frozenset[str]:
        """Names of entries that do not train (running statistics)."""

    def init(self, key: Key) -> Tree:
        """Fresh parameters and buffers, a flat tree."""

    def weights(self, params: Tree) -> Tree:
        """The entries that train."""

    def __call__(self, params: Tree, x: Tensor | tuple[Tensor, ...]) -> Any:
        """Training mode: an `Output` with logits and features; buffers move on behind the scenes."""

    def frozen(self, params: Tree, x: Tensor | tuple[Tensor, ...]) -> Any:
        """Evaluation mode, no gradient: what a teacher says."""

    def train(self, params: Tree, x: Tensor | tuple[Tensor, ...]) -> tuple[Any, Tree]:
        """Training mode with the moved buffers returned: for loops of one's own, on the server."""


class Data(Protocol):
    """Images in reach of one side; rows index them."""

    size: int
    labels: Tensor  # (size,), int64
    counts: Tensor  # samples per class, int64
    pixels: Tensor  # (size, height, width, channels), uint8 (or float32 for stored inputs)

    def inputs(self, rows: Tensor | None = None) -> Tensor:
        """Normalised images without augmentation, (n, channels, height, width)."""

    def batches(self, key: Key, batch: int, steps: int, augment: bool = True) -> Any:
        """An iterator of `Batch`, shuffled anew each epoch."""


@dataclass(frozen=True)
class Training:
    """What the task prescribes for local training."""

    epochs: int = 1
    batch: int = 50
    steps: int | None = None
    optim: Optim = field(default_factory=Optim)


def _no_network(name: str) -> Net:
    raise LookupError(name)


@dataclass(frozen=True)
class Site:
    """What one client sees."""

    who: Who
    model: Net
    data: Data
    public: Data | None
    classes: int
    train: Training
    share: float  # cohort / clients
    cohort: int = 1  # K
    lr: float = 0.0  # eta of this round
    network: Callable[[str], Net] = _no_network  # any other network by its name, e.g. a generator


@dataclass(frozen=True)
class Hub:
    """What the server sees: never private data, never the test set."""

    models: Mapping[str, Net]  # by architecture
    whos: Sequence[Who]
    public: Data | None
    unlabelled: Data | None
    validation: Data | None
    classes: int
    cohort: int  # K
    train: Training
    network: Callable[[str], Net] = _no_network
    beforehand: Tree = field(default_factory=dict)  # what the method's `beforehand` made; {} if nobody called it


class Upload(NamedTuple):
    """A decoded message and who sent it."""

    who: Who
    message: Tree


@dataclass(frozen=True)
class Local:
    """A client at work.

    params: trains in place; whatever keeps a copy must `tree.copy` it
    context: frozen inputs of the loss; the engine never changes it
    carry: what moves along from step to step: sums, a queue, a slow copy
    steps, lr: filled in by the engine, for `finish`
    """

    params: Tree
    context: Tree = field(default_factory=dict)
    carry: Tree = field(default_factory=dict)
    steps: int = 0
    lr: float = 0.0

    def having(self, **changes: Any) -> Local:
        """A copy with other fields."""
        return replace(self, **changes)


def hyper(default: Any, symbol: str = "", low: float | None = None, high: float | None = None) -> Any:
    """A hyper-parameter: default, the paper's symbol, and the closed range of its values."""
    return field(default=default, metadata={"symbol": symbol, "low": low, "high": high})


Gradient = Callable[[Local, Batch], tuple[Tree, Tree]]  # -> gradients by name, extras of the loss
Update = Callable[[Local, Tree], Local]  # one optimiser step


@dataclass(frozen=True)
class Algorithm:
    """FedAvg in every default; override what differs."""

    paper: ClassVar[str] = ""
    version: ClassVar[int] = 1
    track: ClassVar[tuple[str, ...]] = ("global", "heterogeneous", "personal")
    needs: ClassVar[tuple[str, ...]] = ()
    """Of "public", "labelled public", "unlabelled", "validation", "one architecture"."""
    pooled: ClassVar[bool] = False  # a client per architecture owns all private data: the ceiling, no federated method

    def network(self, arch: str) -> str:
        """The network that stands for an architecture of the task, e.g. the same with a projection head."""
        return arch

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        """The course of a run in the task's number of rounds."""
        return (Phase("train", rounds),)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        """What a client does in one round."""
        return (Pass(),)

    def beforehand(self, hub: Hub, key: Key) -> Tree:
        """What the server makes of public data alone, by the key of `init_server`; kept in the cache between runs."""
        return {}

    def init_server(self, hub: Hub, key: Key) -> Tree:
        """The server's memory before the first round."""
        return {"models": {arch: model.init(key("model", arch)) for arch, model in hub.models.items()}}

    def init_client(self, site: Site, key: Key) -> Tree:
        """A client's memory at its first participation; {} for a client without memory."""
        return {}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        """The message to one client; the key is the same for the whole round. None sends nothing."""
        return {"model": server["models"][who.arch]}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        """Set up local work from memory and message."""
        assert message is not None
        return Local(params=message["model"])

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        """Scalar to minimise and extras for `after_step`; tensor operations only, nothing random."""
        return ops.cross_entropy(model(params, batch.x).logits, batch.y, batch.mask), {}

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        """One step; override for methods that need more than one gradient."""
        gradients, extras = gradient(local, batch)
        return update(local, gradients), extras

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        """Move the carry along."""
        return local

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        """New memory and the message to the server; None sends nothing."""
        return client, {"model": local.params}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        """The server's new memory from the uploads in client order; may train."""
        return {**server, "models": average(server["models"], uploads)}

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        """The common model, None if there is none: then the clients' models are judged."""
        return server["models"][arch] if "models" in server else None

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        """What this client would deploy."""
        return server["models"][who.arch]

    def report(self, server: Tree) -> dict[str, float]:
        """Finite numbers that the method tells of its run, from the server's last memory; its record keeps them."""
        return {}


def average(models: Tree, uploads: Sequence[Upload], name: str = "model") -> Tree:
    """Mean of the uploaded models weighted by n_k, within each architecture; one without uploads stays as it was."""
    new = dict(models)
    for arch in models:
        sent = [upload for upload in uploads if upload.who.arch == arch]
        if sent:
            new[arch] = trees.mean([upload.message[name] for upload in sent], [upload.who.size for upload in sent])
    return new


__all__ = ["Algorithm", "Batch", "Data", "Gradient", "Hub", "Key", "Local", "Net", "Optim", "Output", "Pass", "Phase",
           "Site", "Tensor", "Training", "Tree", "Update", "Upload", "Who", "average", "hyper", "torch"]  # fmt: skip

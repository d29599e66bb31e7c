"""The interface of a method: a frozen dataclass whose fields are hyper-parameters and whose methods are pure functions.

The defaults are FedAvg, so a method writes only its differences. The engine owns sampling, random keys, batches,
optimisers, encoding, order, time, evaluation and checkpoints. A method's author reads this file; the fields of what the
hooks receive are described in `api_types.py` and `api_inputs.py`.

Memories and messages are trees of dense tensors: floats, integers and bool. Hooks receive them sorted by name, before
and after a checkpoint. All messages of a phase in one direction have the same names and types, and those of an
architecture the same shapes but for the first axis: a client may send a row per image, and None while others send.

The path of this file is part of every method's fingerprint, since methods import it: moving it makes all records stale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api_inputs import Batch, Data, Net
from benchmark.core.api_types import Hub, Local, Pass, Phase, Site, Training, Upload, Who
from benchmark.core.keys import Key
from benchmark.core.model_output import Output
from benchmark.core.optim import Optim
from benchmark.core.tree import Tree

Gradient = Callable[[Local, Batch], tuple[Tree, Tree]]
"""Computes the gradients of the loss by the names of the parameters, and the loss's extras."""
Update = Callable[[Local, Tree], Local]
"""Makes one optimiser step with gradients by name."""


def hyper(default: Any, symbol: str = "", low: float | None = None, high: float | None = None) -> Any:
    """Declare a hyper-parameter, as the default of a field of an `Algorithm`.

    Args:
        default: Its value where neither task nor command line sets another.
        symbol: The paper's symbol.
        low: The smallest allowed value.
        high: The largest allowed value.
    """
    return field(default=default, metadata={"symbol": symbol, "low": low, "high": high})


@dataclass(frozen=True)
class Algorithm:
    """A method of federated learning. Every default is FedAvg's; override what differs.

    Hooks return new trees and never change what they are given, except for `Local.params`.

    Attributes:
        paper: Authors, title, venue and year of the source.
        version: Raised when the meaning of the method changes.
        track: Tracks on which the method competes: "global", "heterogeneous", "personal", "unsupervised".
        needs: What a task must offer, among "public", "labelled public", "unlabelled", "validation" and
            "one architecture".
        pooled: True if one client per architecture owns all private data: centralised training, an upper bound.
    """

    paper: ClassVar[str] = ""
    version: ClassVar[int] = 1
    track: ClassVar[tuple[str, ...]] = ("global", "heterogeneous", "personal")
    needs: ClassVar[tuple[str, ...]] = ()
    pooled: ClassVar[bool] = False

    def network(self, arch: str) -> str:
        """The name of the network to use for an architecture of the task, e.g. the same with a projection head.

        Args:
            arch: Name of the architecture.
        """
        return arch

    def networks(self, arch: str) -> dict[str, str]:
        """Several networks in place of `network`, by names of your own, e.g. {"private": arch, "shared": "mlp"}.

        `model["shared"]` is one of them; the names of its parameters begin with "shared.". The record lists them.

        Args:
            arch: Name of the architecture.

        Returns:
            Names of networks; {} uses `network` alone.
        """
        return {}

    def phases(self, rounds: int) -> tuple[Phase, ...]:
        """The phases of a run, in order.

        Args:
            rounds: The task's number of rounds.
        """
        return (Phase("train", rounds),)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        """The passes of a client in one round, in order.

        Args:
            phase: The current phase.
            site: What the client sees.
        """
        return (Pass(),)

    def beforehand(self, hub: Hub, key: Key) -> Tree:
        """What the server computes from public data alone, before the first round. The result is cached between runs.

        Args:
            hub: What the server sees, without models, clients and validation images.
            key: The key of `init_server`.
        """
        return {}

    def init_server(self, hub: Hub, key: Key) -> Tree:
        """The server's memory before the first round.

        Args:
            hub: What the server sees.
            key: What random numbers are drawn by.
        """
        return {"models": {arch: model.init(key("model", arch)) for arch, model in hub.models.items()}}

    def init_client(self, site: Site, key: Key) -> Tree:
        """A client's memory when it first takes part; {} if it needs none.

        Args:
            site: What the client sees.
            key: What random numbers are drawn by.
        """
        return {}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        """The message to one client; None sends nothing.

        Args:
            server: The server's memory.
            who: The client.
            phase: The current phase.
            key: What random numbers are drawn by; the same for all clients of a round.
        """
        return {"model": server["models"][who.arch]}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        """The state in which a client begins its local work.

        Args:
            client: The client's memory.
            message: The decoded message of the server.
            phase: The current phase.
            site: What the client sees.
        """
        assert message is not None
        return Local(params=message["model"])

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        """The loss of a batch. It is vectorised over clients: tensor operations only, nothing random, see `ops`.

        Args:
            params: Parameters and buffers, by which the engine differentiates.
            local: The client's state; read `context` and `carry`.
            batch: Images and labels.
            model: The client's network.

        Returns:
            A scalar to minimise, and extras for `after_step`.
        """
        return ops.cross_entropy(model(params, batch.x).logits, batch.y, batch.mask), {}

    def step(self, local: Local, batch: Batch, gradient: Gradient, update: Update) -> tuple[Local, Tree]:
        """One step. Override it to change gradients, or to use more than one.

        Args:
            local: The client's state.
            batch: Images and labels.
            gradient: Computes gradients and extras of the loss at a state.
            update: Makes one optimiser step.

        Returns:
            The new state, and extras for `after_step`.
        """
        gradients, extras = gradient(local, batch)
        return update(local, gradients), extras

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        """The state after a step, with `carry` brought up to date.

        Args:
            local: The client's state.
            extras: What `loss` or `step` returned beside its first result.
            batch: Images and labels.
        """
        return local

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        """What a client keeps and sends after its local work.

        Args:
            client: The client's memory.
            local: Its last state.
            message: The decoded message of the server.
            phase: The current phase.
            site: What the client sees.

        Returns:
            The client's new memory, and its message to the server; None sends nothing.
        """
        return client, {"model": local.params}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        """The server's new memory after a round. It may train networks.

        Args:
            server: The server's memory.
            uploads: The decoded messages, in the order of the clients' numbers.
            phase: The current phase.
            hub: What the server sees.
            key: What random numbers are drawn by.
        """
        return {**server, "models": average(server["models"], uploads)}

    def global_model(self, server: Tree, arch: str) -> Tree | None:
        """The parameters of the common model. If they are None, the clients' models are judged instead.

        Args:
            server: The server's memory.
            arch: Name of the architecture.
        """
        return server["models"][arch] if "models" in server else None

    def local_model(self, server: Tree, client: Tree, who: Who) -> Tree:
        """The parameters that a client would deploy.

        Args:
            server: The server's memory.
            client: The client's memory.
            who: The client.
        """
        return server["models"][who.arch]

    def predict(self, params: Tree, x: Tensor, model: Net) -> Tensor:
        """The answers of a judged model to test images. Override it for an inference of your own; nothing is random.

        Nearest prototypes, two heads, an ensemble, or steps of adaptation to the images: their number is a field.

        Args:
            params: What `global_model` or `local_model` returned: any tree, if this is overridden.
            x: Images (n, channels, height, width), at most 125, in the order of the test set.
            model: The network, or several, of the architecture.

        Returns:
            Logits (n, classes).
        """
        logits: Tensor = model.frozen(params, x).logits
        return logits

    @property
    def own_inference(self) -> bool:
        """Whether the method overrides `predict`; its clients' models are then judged at evaluations alone."""
        return type(self).predict is not Algorithm.predict

    def report(self, server: Tree) -> dict[str, float]:
        """Finite numbers about the run that its record keeps.

        Args:
            server: The server's memory after the last round.
        """
        return {}


def average(models: Tree, uploads: Sequence[Upload], name: str = "model") -> Tree:
    """FedAvg's mean of the uploaded models, weighted by the sizes of the clients, within each architecture.

    Args:
        models: Parameters by architecture; one without uploads stays as it is.
        uploads: The clients' messages.
        name: Name of the entry of a message that holds the model.

    Returns:
        The new parameters by architecture.

    Source: McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, AISTATS 2017.
    """
    new = dict(models)
    for arch in models:
        sent = [upload for upload in uploads if upload.who.arch == arch]
        if sent:
            new[arch] = trees.mean([upload.message[name] for upload in sent], [upload.who.size for upload in sent])
    return new


__all__ = [
    "Algorithm",
    "Batch",
    "Data",
    "Gradient",
    "Hub",
    "Key",
    "Local",
    "Net",
    "Optim",
    "Output",
    "Pass",
    "Phase",
    "Site",
    "Tensor",
    "Training",
    "Tree",
    "Update",
    "Upload",
    "Who",
    "average",
    "hyper",
    "torch",
]

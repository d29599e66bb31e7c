"""How far the clients of a round drift from each other and from the model that they received."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import torch

from benchmark.core.api import Upload
from benchmark.core.models.functional import Model
from benchmark.core.storage import serialization
from benchmark.core.tree import Tree


class Drift(NamedTuple):
    """Drift of the clients of one round.

    gradient_diversity: Lambda = sum_k p_k |d_k|^2 / |sum_k p_k d_k|^2, where d_k is what client k changed in the
        weights that it received and p_k its share of the cohort's images; 1 if all clients move alike, larger the more
        their changes cancel
    weight_divergence: mean over clients of |d_k|

    Source: Lee et al. 2022 (FedNTD), section 2.3; gradient diversity without shares: Yin et al. 2018.
    """

    gradient_diversity: float
    weight_divergence: float


def drift(
    received: Sequence[Tree], uploaded: Sequence[Tree], sizes: Sequence[int], names: Collection[str]
) -> Drift | None:
    """Drift of clients from the models that they received and uploaded.

    Args:
        received: Model of every client before its local work, flat trees.
        uploaded: Model of every client after it, in the same order.
        sizes: Images of every client.
        names: Entries that train; running statistics say nothing of gradients.

    Returns:
        None where the mean change is zero, of which nothing can be a multiple.
    """
    shares = [size / sum(sizes) for size in sizes]
    squares, joint = torch.zeros(len(sizes), dtype=torch.float64), 0.0
    for name in sorted(names):
        mean = torch.zeros_like(received[0][name], dtype=torch.float64)
        for client, (before, after) in enumerate(zip(received, uploaded, strict=True)):
            change = after[name].double() - before[name].double()
            squares[client] += change.square().sum()
            mean.add_(change, alpha=shares[client])
        joint += float(mean.square().sum())
    if joint == 0:
        return None
    weighted = float(squares @ torch.tensor(shares, dtype=torch.float64))
    return Drift(weighted / joint, float(squares.sqrt().mean()))


def upload_drift(
    messages: Mapping[int, bytes], uploads: Sequence[Upload], model: Callable[[str], Model]
) -> Drift | None:
    """Drift of a round's clients, from the messages of the round.

    Args:
        messages: Encoded download of every client.
        uploads: Decoded uploads.
        model: The network of an architecture.

    Returns:
        None where not all uploads and downloads hold a whole network of one architecture under the name `model`, where
        there are fewer than two, or where the mean change is zero.
    """
    if len(uploads) < 2 or len({upload.who.arch for upload in uploads}) > 1:
        return None
    network = model(uploads[0].who.arch)
    names = network.names - network.buffers
    decoded = {data: serialization.decode(data) or {} for data in {messages[upload.who.id] for upload in uploads}}
    received: list[Tree] = [decoded[messages[upload.who.id]].get("model", {}) for upload in uploads]
    uploaded: list[Tree] = [upload.message.get("model", {}) for upload in uploads]
    if not all(isinstance(tree, dict) and names <= tree.keys() for tree in (*received, *uploaded)):
        return None
    return drift(received, uploaded, [upload.who.size for upload in uploads], names)

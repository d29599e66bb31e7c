"""Clients of low precision: 1-bit weights on the way and in every forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.core.api import Algorithm, Batch, Hub, Key, Local, Net, Phase, Site, Tree, Upload

BITS = tuple(1 << place for place in range(8))  # of a byte, lowest first


@dataclass(frozen=True)
class OneBit(Algorithm):
    """Binary clients, a mixin in front of the method that the server follows.

    Forward: sign(w) * mean |w| per output channel, sign(0) = 1. Backward: straight through to full-precision shadow
    weights, which last for one visit. Up go the signs, eight a byte, a float scale per output channel, and the rest as
    it is. Down goes the server's model in full precision: its average or student is not binary.
    Left as they are: the classifier, a convolution that reads the image, norms, biases and running statistics.

    The paper names the 1-bit ResNet-8 alone. Rule, scales and what stays are XNOR-Net's (1603.05279), but activations
    stay real and gradients unclipped; in- and out-local accuracy are of the shadow weights. The published code holds
    another rule: signs about each filter's mean, scaled by its standard deviation, of all but the norms, with the error
    kept from round to round.
    Source: Lin et al., NeurIPS 2020, table 4.
    """

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        names = binary_names(params, batch.x.shape[1])
        return super().loss({**params, **{n: straight_through(params[n]) for n in names}}, local, batch, model)

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        memory, upload = super().finish(client, local, message, phase, site)
        assert upload is not None
        return memory, packed(upload["model"], site.data.pixels.shape[3])

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        models = server["models"]
        full = [Upload(who, {"model": unpacked(message, models[who.arch])}) for who, message in uploads]
        return super().aggregate(server, full, phase, hub, key)


def binary_names(params: Tree, channels: int) -> list[str]:
    """Weights that become binary in a network for images of so many channels, in order of name."""
    return sorted(
        name for name, leaf in params.items()
        if leaf.dim() > 1 and not name.startswith("classifier.") and not (leaf.dim() == 4 and leaf.shape[1] == channels)
    )  # fmt: skip


def scales(weight: Tensor) -> Tensor:
    """Mean |w| of every output channel (n,)."""
    return weight.abs().flatten(1).mean(1)


def binarised(weight: Tensor) -> Tensor:
    """sign(w) * mean |w| per output channel, in the shape of w."""
    scale = scales(weight).reshape(-1, *[1] * (weight.dim() - 1))
    return torch.where(weight < 0, -scale, scale)


def straight_through(weight: Tensor) -> Tensor:
    """Binary in value, w itself to the gradient; the bracket is exactly zero."""
    return binarised(weight).detach() + (weight - weight.detach())


def packed(model: Tree, channels: int) -> Tree:
    """A model as it travels: "signs" as bytes and "scales" of the binary weights, and the "rest"."""
    names = binary_names(model, channels)
    rest = {name: leaf for name, leaf in model.items() if name not in names}
    signs = {name: pack(model[name] >= 0) for name in names}
    return {"signs": signs, "scales": {name: scales(model[name]) for name in names}, "rest": rest}


def unpacked(message: Tree, like: Tree) -> Tree:
    """The inverse of `packed`; like: any model of the same shapes."""
    weights = {}
    for name, scale in message["scales"].items():
        positive = unpack(message["signs"][name], like[name].numel()).reshape(len(scale), -1)
        weights[name] = torch.where(positive, scale[:, None], -scale[:, None]).reshape(like[name].shape)
    return {**message["rest"], **weights}


def pack(bits: Tensor) -> Tensor:
    """Booleans as uint8, eight a byte, the last byte filled up with zeros."""
    flat = bits.flatten()
    octets = F.pad(flat, (0, -len(flat) % 8)).reshape(-1, 8)
    return (octets * torch.tensor(BITS)).sum(1).to(torch.uint8)


def unpack(octets: Tensor, count: int) -> Tensor:
    """The first `count` booleans (count,) that `pack` packed."""
    return (octets[:, None] & torch.tensor(BITS, dtype=torch.uint8)).bool().flatten()[:count]

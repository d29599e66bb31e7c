"""Runs some of torch once in the fork server, since torch reads files at first use and sandboxed processes cannot."""

from __future__ import annotations

import torch

from benchmark.core.client import determinism
from benchmark.core.isolation import limits
from benchmark.core.models.build import build


def _preload() -> None:
    determinism.enable()
    net, images = build("golden", (1, 8, 8), 3), torch.zeros(2, 1, 8, 8)
    for precision in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
            net(images).logits.float().sum().backward()

    def loss(weight: torch.Tensor) -> torch.Tensor:
        return (weight * torch.nn.functional.conv2d(images, weight[None, None, None, None])).sum()

    torch.func.vmap(torch.func.grad(loss))(torch.ones(2))
    limits.code()


_preload()

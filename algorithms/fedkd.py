"""FedKD: adaptive mutual distillation of a private and a shared network, whose changes travel as truncated SVDs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from algorithms._mutual import TwoNetworks
from benchmark.core import ops
from benchmark.core import tree as trees
from benchmark.core.api import Batch, Hub, Key, Local, Net, Phase, Site, Tensor, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class FedKD(TwoNetworks):
    """FedKD: L = CE(p) + CE(m) + (KL(m || p) + KL(p || m) + 2 ||h_p - h_m||^2 / d) / (CE(p) + CE(m)).

    p is the private network ("mentor"), m the shared one ("mentee"); each takes the other, and the divisor, as fixed,
    so that they teach each other more the better they are. The hidden term counts where the features have one width;
    the paper maps one to the other by a trained matrix. What a client changed in each matrix of m is sent as U S and V
    with the fewest singular values whose squares make up a share T of all, T rising from `start` to `end` over the
    rounds. Down goes the whole of m, which a sampled client does not have; the paper compresses that way too.
    Source: Wu et al., Nature Communications 2022, equations 3 to 8; T from 0.95 to 0.98.
    """

    paper = "Wu et al. 2022, arXiv 2108.13323"
    start: float = hyper(0.95, "T_start", low=0, high=1)
    end: float = hyper(0.98, "T_end", low=0, high=1)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {**super().init_server(hub, key), "round": torch.tensor(0)}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return {"model": server["models"][who.arch], "round": server["round"]}

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        one, two = (model[name](params, batch.x) for name in ("private", "shared"))
        task = ops.cross_entropy(one.logits, batch.y, batch.mask) + ops.cross_entropy(two.logits, batch.y, batch.mask)
        taught = ops.kl(two.logits.detach(), one.logits, 1, batch.mask)
        taught = taught + ops.kl(one.logits.detach(), two.logits, 1, batch.mask)
        if one.features.shape == two.features.shape:
            gaps = (one.features - two.features.detach()).square() + (one.features.detach() - two.features).square()
            taught = taught + ops.mean(gaps.mean(-1), batch.mask)
        return task + taught / task.detach(), {}

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        memory, upload = super().finish(client, local, message, phase, site)
        assert message is not None and upload is not None
        energy = self.start + (self.end - self.start) * int(message["round"]) / phase.rounds
        change = trees.sub(upload["model"], message["model"])
        return memory, {"change": {name: factors(leaf, energy) for name, leaf in change.items()}}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        received = [u._replace(message={"model": self._whole(server, u)}) for u in uploads]
        return {**super().aggregate(server, received, phase, hub, key), "round": server["round"] + 1}

    def _whole(self, server: Tree, upload: Upload) -> Tree:
        model, change = server["models"][upload.who.arch], upload.message["change"]
        return {name: leaf + product(change[name]).reshape(leaf.shape) for name, leaf in model.items()}


def factors(change: Tensor, energy: float) -> Tree:
    """U S as rows (r, m) and V as rows (r, n) of a change as an m x n matrix; other changes as they are."""
    if change.dim() < 2:
        return {"whole": change}
    u, s, v = torch.linalg.svd(change.flatten(1), full_matrices=False)
    shares = s.square().cumsum(0) / s.square().sum().clamp(min=1e-30)
    rank = min(int((shares < energy).sum()) + 1, len(s))
    return {"left": (u * s)[:, :rank].T, "right": v[:rank]}


def product(parts: Tree) -> Tensor:
    """The change that `factors` took apart."""
    return parts["whole"] if "whole" in parts else parts["left"].T @ parts["right"]

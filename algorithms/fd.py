"""FD: devices exchange nothing but their mean outputs per label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.local import LocalOnly
from benchmark.core import ops, tree
from benchmark.core.api import Batch, Hub, Key, Local, Net, Phase, Site, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class FD(LocalOnly):
    """Federated distillation: L = CE(F(w, x), y) + gamma CE(F(w, x), F^_y), with F the softmax outputs.

    Client i reports F_l, the mean of its outputs over the samples of label l, summed up while it trains (a label
    without samples is a zero row), and is taught F^_l, the mean of F_l over the *other* clients that know label l.
    Where only a cohort takes part, a client's last report is used. Without any report F^ is zero: no teacher.
    The paper tells neither gamma nor what to do with labels that a device lacks.

    Source: Jeong et al. 2018, algorithm 1.
    """

    paper = "Jeong et al. 2018, arXiv 1811.11479"
    gamma: float = hyper(1.0, "γ", low=0)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {"means": {}, "sum": torch.zeros(hub.classes, hub.classes, dtype=torch.float64)}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        own = server["means"].get(str(who.id))
        total = server["sum"] if own is None else server["sum"] - own.double()
        # a mean of softmax outputs sums to one, so a row's sum counts the clients that know the label
        known = total.sum(1, keepdim=True).round()
        return {"teacher": torch.where(known > 0, total / known.clamp(min=1), 0.0).float()}

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        zeros = {"sums": torch.zeros(site.classes, site.classes), "counts": torch.zeros(site.classes)}
        return Local(client["model"], context=message, carry=zeros)

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        logits = model(params, batch.x).logits
        teacher = local.context["teacher"][batch.y]
        risk = ops.cross_entropy(logits, batch.y, batch.mask)
        risk = risk + self.gamma * ops.soft_cross_entropy(logits, teacher, batch.mask)
        sums, counts = ops.by_label(logits.detach().softmax(-1), batch.y, logits.shape[-1], batch.mask)
        return risk, {"sums": sums, "counts": counts}

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        return local.having(carry=tree.add(local.carry, extras))

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        means = local.carry["sums"] / local.carry["counts"].clamp(min=1).unsqueeze(1)
        return {**client, "model": local.params}, {"means": means}

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        means = server["means"] | {str(upload.who.id): upload.message["means"] for upload in uploads}
        ordered = [means[name] for name in sorted(means, key=int)]
        return {"means": means, "sum": tree.total([{"": m.double()} for m in ordered], [1.0] * len(ordered))[""]}

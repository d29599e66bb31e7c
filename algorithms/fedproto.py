"""FedProto: clients exchange nothing but the mean feature of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from algorithms.local import LocalOnly
from benchmark.core import ops, tree
from benchmark.core.api import Batch, Hub, Key, Local, Net, Pass, Phase, Site, Tree, Upload, Who, hyper


@dataclass(frozen=True)
class FedProto(LocalOnly):
    """FedProto: L = CE(f(x), y) + lambda ||h(x) - C_y||^2 / d, C_j = sum_k n_kj C_kj / sum_k n_kj.

    h(x) are the features that the classifier reads, averaged down to d numbers where a network has more, so that
    architectures can share prototypes; between equal networks the paper sends all of h. C_kj is the
    mean of h over client k's samples of class j after training. Only rows of classes that are known move, and their
    counts (4 bytes a class) say which and how many samples; a class that nobody reports keeps its prototype. Clients
    answer with their own classifiers; the published code reports the class of the nearest prototype beside that.
    Source: Tan et al., AAAI 2022, algorithm 1; the mean over d as in the published code, which forgets n_kj.
    """

    paper = "Tan et al. 2022, arXiv 2105.00243"
    lambda_: float = hyper(1.0, "λ", low=0)
    d: int = hyper(64, "d", low=1)

    def passes(self, phase: Phase, site: Site) -> tuple[Pass, ...]:
        return Pass(), Pass(loss="look", update=False)

    def features(self, output: Tensor) -> Tensor:
        """(B, width) -> (B, d)."""
        return F.adaptive_avg_pool1d(output.unsqueeze(1), self.d).squeeze(1)

    def init_server(self, hub: Hub, key: Key) -> Tree:
        return {"prototypes": torch.zeros(hub.classes, self.d), "counts": torch.zeros(hub.classes, dtype=torch.int32)}

    def download(self, server: Tree, who: Who, phase: Phase, key: Key) -> Tree | None:
        return packed(server["prototypes"], server["counts"])

    def begin(self, client: Tree, message: Tree | None, phase: Phase, site: Site) -> Local:
        assert message is not None
        known = (message["counts"] > 0).float()
        zeros = {"sums": torch.zeros(site.classes, self.d), "counts": torch.zeros(site.classes)}
        return Local(client["model"], context={"prototypes": unpacked(message), "known": known}, carry=zeros)

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        output = model(params, batch.x)
        distance = (self.features(output.features) - local.context["prototypes"][batch.y]).square().mean(-1)
        pull = ops.mean(distance * local.context["known"][batch.y], batch.mask)
        return ops.cross_entropy(output.logits, batch.y, batch.mask) + self.lambda_ * pull, {}

    def look(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        """Sums of features by class."""
        features = self.features(model(params, batch.x).features)
        sums, counts = ops.by_label(features, batch.y, len(local.carry["counts"]), batch.mask)
        return features.sum(), {"sums": sums, "counts": counts}

    def after_step(self, local: Local, extras: Tree, batch: Batch) -> Local:
        return local.having(carry=tree.add(local.carry, extras)) if extras else local

    def finish(
        self, client: Tree, local: Local, message: Tree | None, phase: Phase, site: Site
    ) -> tuple[Tree, Tree | None]:
        counts = local.carry["counts"]
        return {"model": local.params}, packed(local.carry["sums"] / counts.clamp(min=1).unsqueeze(1), counts.int())

    def aggregate(self, server: Tree, uploads: Sequence[Upload], phase: Phase, hub: Hub, key: Key) -> Tree:
        counts = sum((upload.message["counts"] for upload in uploads), torch.zeros_like(server["counts"]))
        sums = sum(unpacked(upload.message).double() * upload.message["counts"].unsqueeze(1) for upload in uploads)
        new = (sums / counts.clamp(min=1).unsqueeze(1)).float()
        reported = counts > 0
        return {
            "prototypes": torch.where(reported.unsqueeze(1), new, server["prototypes"]),
            "counts": torch.where(reported, counts, server["counts"]),
        }


def packed(prototypes: Tensor, counts: Tensor) -> Tree:
    """The rows (C_k, d) of known classes, and samples per class (C,), int32."""
    return {"prototypes": prototypes[counts > 0], "counts": counts}


def unpacked(message: Tree) -> Tensor:
    """Prototypes (C, d), zero for unknown classes."""
    known = message["counts"] > 0
    full = torch.zeros(len(known), message["prototypes"].shape[1])
    full[known] = message["prototypes"]
    return full

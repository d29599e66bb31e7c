"""KD: every client distils the federated model into its own while it learns from its own data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from algorithms._personal import Personalised
from benchmark.core import ops
from benchmark.core.api import Batch, Local, Net, Tensor, Tree, hyper


@dataclass(frozen=True)
class AdaptKD(Personalised):
    """Adaptation by distillation: L = alpha T^2 KL(softmax(G / T) || softmax(s / T)) + (1 - alpha) CE(s, y).

    s and G are the logits of the client's and the federated model; the client's starts from G.
    reduction: "batchmean" is the KL of distributions; "mean" divides it by the number of classes as well, as the
    published code does. There the teacher also runs in training mode, so that its BatchNorm drifts; here it does not.
    Source: Yu, Bagdasaryan & Shmatikov 2020, KD.
    """

    alpha: float = hyper(0.95, "α", low=0, high=1)
    tau: float = hyper(6.0, "T", low=1e-3)
    reduction: Literal["batchmean", "mean"] = hyper("batchmean")

    def loss(self, params: Tree, local: Local, batch: Batch, model: Net) -> tuple[Tensor, Tree]:
        student = model(params, batch.x).logits
        teacher = model.frozen(local.context["global"], batch.x).logits
        distance = ops.kl(teacher, student, self.tau, batch.mask)
        if self.reduction == "mean":
            distance = distance / student.shape[-1]
        risk = ops.cross_entropy(student, batch.y, batch.mask)
        return self.alpha * self.tau**2 * distance + (1 - self.alpha) * risk, {}

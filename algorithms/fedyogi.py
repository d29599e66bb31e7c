"""FedYogi: Yogi on the server."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.fedadam import FedAdam
from benchmark.core.api import Tensor


@dataclass(frozen=True)
class FedYogi(FedAdam):
    """FedYogi: FedAdam with v <- v - (1 - beta_2) d^2 sign(v - d^2), which shrinks v slowly where d is small.

    Source: Reddi et al., ICLR 2021, algorithm 2.
    """

    def second_moment(self, v: Tensor, square: Tensor) -> Tensor:
        return v - (1 - self.beta2) * square * (v - square).sign()

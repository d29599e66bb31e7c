"""FL + FAug: federated averaging on data evened out by federated augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms._faug import FAug
from algorithms.fedavg import FedAvg


@dataclass(frozen=True)
class FLFAug(FAug, FedAvg):
    """FAug once, then FedAvg on private and generated images, weighted by the private n_k."""

    paper = "Jeong et al. 2018, arXiv 1811.11479"

"""FedAvg: local SGD, then the mean of the clients' models."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.core.api import Algorithm


@dataclass(frozen=True)
class FedAvg(Algorithm):
    """FedAvg: w <- sum_k n_k w_k / sum_k n_k over the cohort; within each architecture if there are several.

    Source: McMahan et al., AISTATS 2017, algorithm 1.
    """

    paper = "McMahan et al. 2017, arXiv 1602.05629"

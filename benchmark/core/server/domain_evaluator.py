"""Evaluation of clients that have domains: every client's model on the test images of its own domain."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from statistics import fmean
from typing import Any

from benchmark.core.backends.jobs import EvaluateJob, Job
from benchmark.core.client import evaluate
from benchmark.core.client.evaluate import ClassSums
from benchmark.core.server.evaluators import PersonalizedEvaluator


class DomainsEvaluator(PersonalizedEvaluator):
    """Track personal, split by domain: as there, but a client's test images are those of its domain.

    Source: Li et al. 2021 (FedBN), who judge every client on its own dataset.
    """

    def _jobs(self, arch: str, model: bytes, alone: bool) -> Sequence[Job]:
        """One job for each domain."""
        return [EvaluateJob(arch, model, start, stop) for start, stop in self._edges]

    def _merged(self, sums: list[ClassSums]) -> Any:
        return sums

    def _scores(self, sums: list[Any]) -> dict[str, Any]:
        """sums: over each domain's test images, for each client's model"""
        count = len(self._counts)
        own: list[ClassSums] = [of_model[client % count] for client, of_model in enumerate(sums)]
        counts = [self._counts[client % count] for client in range(len(own))]
        rows = list(zip(own, counts, self._label_distributions, strict=True))
        accuracies = [evaluate.local_accuracies(of_model.hits, of, share)[0] for of_model, of, share in rows]
        per_class = [evaluate.per_class(of_model.hits, of) for of_model, of, _ in rows]
        scores: dict[str, Any] = {
            "accuracy": round(fmean(accuracies), 6),
            "per_class": [round(fmean(column), 6) for column in zip(*per_class, strict=True)],
            "clients": [round(value, 6) for value in accuracies],
        }
        if self.federation.task.protocol > 1:
            scores["nll"] = round(fmean(evaluate.negative_log_likelihood(*row) for row in rows), 6)
            scores["ece"] = round(fmean(evaluate.calibration_error(*row) for row in rows), 6)
        return scores

    @cached_property
    def _edges(self) -> list[tuple[int, int]]:
        """First test image of each domain, and the one after its last."""
        return list(pairwise(accumulate(self.federation.data.test_domains, initial=0)))

    @cached_property
    def _counts(self) -> list[list[int]]:
        """Test images of each class, by domain."""
        test = self.federation.test
        return [test.labels[start:stop].bincount(minlength=test.classes).tolist() for start, stop in self._edges]

"""Evaluation by track: which models are evaluated, and how. Only evaluators see test data and all labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import chain, cycle, islice, pairwise
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
import torch

from benchmark.core import tree as trees
from benchmark.core.api import Algorithm, Phase, Who
from benchmark.core.backends.base import Backend, Results
from benchmark.core.backends.jobs import EvaluateJob, Job, ProbeJob, RepresentationJob
from benchmark.core.client import evaluate
from benchmark.core.client.evaluate import ClassSums
from benchmark.core.client.federation import Federation
from benchmark.core.models.functional import compare_shapes
from benchmark.core.storage import checkpoint, serialization
from benchmark.core.storage.checkpoint import Memories
from benchmark.core.tree import Tree

SLICES = 4  # of the test set, so that workers share the evaluation of one model
Model = tuple[str, Tree]  # architecture and parameters
ModelHash = tuple[str, bytes]  # architecture, and hash of the encoded parameters


class PendingEvaluation:
    """Evaluation of one round's models, by jobs that run on workers which the next two rounds' training leaves idle.

    Attributes:
        waiting: Jobs not submitted yet; they hold encoded models, so that rounds may go on.
        scores: Computes the scores of an evaluation from the jobs' results.
    """

    def __init__(self, jobs: Sequence[Job], scores: Callable[[list[Any]], dict[str, Any]]) -> None:
        self.waiting, self.scores = list(jobs), scores
        self.submitted: list[Results] = []

    def submit(self, backend: Backend, all_jobs: bool) -> None:
        """Submit jobs behind those of this round's clients: all that wait, or half of them the first time."""
        count = len(self.waiting) if all_jobs or self.submitted else -(-len(self.waiting) // 2)
        self.submitted.append(backend.submit(self.waiting[:count]))
        self.waiting = self.waiting[count:]

    def result(self, backend: Backend) -> dict[str, Any]:
        """Submit what still waits, wait for all results and compute the scores."""
        self.submit(backend, all_jobs=True)
        return self.scores([result for results in self.submitted for result in results()])


class GlobalModelEvaluator:
    """Track global: the common model on the test set; the mean over all clients' models where a method has none.

    Attributes:
        evaluates_local_work: Whether clients' models are also evaluated right after their last local work, which gives
            in-local and out-local accuracy.
    """

    evaluates_local_work: ClassVar[bool] = True

    def __init__(self, federation: Federation, algorithm: Algorithm, backend: Backend) -> None:
        self.federation, self.algorithm, self.backend = federation, algorithm, backend
        self.sums: dict[ModelHash, list[ClassSums]] = {}  # of the models evaluated last: one once they are there
        self.numbers = (0, 1)  # in the largest model evaluated last, and in the task's network

    def evaluated_models(self, server: Tree) -> str:
        """Whose models are evaluated: "common" or "clients"."""
        return "clients" if self._global_model(server) is None else "common"

    def prepare(self, server: Tree, memories: Memories) -> PendingEvaluation:
        """The evaluation of the models as they are now.

        Its scores are `accuracy` and `per_class` accuracy, means over the evaluated models, as a record's evaluations
        have them.
        """
        return self._pending([(who.arch, model) for who, model in self.judged_models(server, memories)])

    def judged_models(self, server: Tree, memories: Memories) -> list[tuple[Who, Tree]]:
        """The models that are evaluated, each with its client; a common one is there once, with the first client."""
        if self.evaluated_models(server) == "common":
            return self._common_model(server)
        return self._client_models(server, memories)

    def extra_round(self, phases: Sequence[Phase]) -> int | None:
        """A round after which models are evaluated besides those that the task names."""
        return None

    def extras(self, server: Tree, evaluations: list[dict[str, Any]], phases: Sequence[Phase]) -> dict[str, Any]:
        """What the track adds to a run's result."""
        return {}

    def _common_model(self, server: Tree) -> list[tuple[Who, Tree]]:
        model = self._global_model(server)
        assert model is not None
        return [(self.federation.who(0), model)]

    @torch.no_grad()
    def _global_model(self, server: Tree) -> Tree | None:
        return self.algorithm.global_model(server, self.federation.who(0).arch)

    @torch.no_grad()
    def _client_models(self, server: Tree, memories: Memories) -> list[tuple[Who, Tree]]:
        models = []
        first = self.algorithm.phases(self.federation.task.rounds)[0]
        for client in range(self.federation.clients):
            who, path = self.federation.who(client), memories.current(client)
            if path is None:
                memory = self.federation.first_memory(self.algorithm, self.federation.site(client, first, 0))
            else:
                memory = checkpoint.load_memory(path)
            models.append((who, self.algorithm.local_model(server, memory, who)))
        return models

    def _pending(self, models: list[Model]) -> PendingEvaluation:
        """Equal models are evaluated once, as is one that stays the same from one evaluation to the next."""
        hashes: list[ModelHash] = []
        new: dict[ModelHash, bytes] = {}
        self._measure(models)
        for arch, model in models:
            data = serialization.encode(model, f"model {arch}").data
            hashes.append(hash_ := (arch, sha256(data).digest()))
            if hash_ not in self.sums:
                new[hash_] = data
        # a pending evaluation fills the lists that the next one shares with it: their results are computed in order
        sums = self.sums = {hash_: self.sums.get(hash_, []) for hash_ in hashes}
        jobs = {hash_: self._jobs(hash_[0], data, alone=len(sums) == 1) for hash_, data in new.items()}

        def scores(results: list[ClassSums]) -> dict[str, Any]:
            remaining = iter(results)
            for hash_, of_model in jobs.items():
                sums[hash_].append(self._merged(list(islice(remaining, len(of_model)))))
            return self._scores([sums[hash_][0] for hash_ in hashes])

        return PendingEvaluation(list(chain.from_iterable(jobs.values())), scores)

    def networks(self) -> dict[str, Any]:
        """What the record says of a method with several networks, or an inference of its own; {} for others."""
        declared = {arch: self.federation.declared(arch) for arch in dict.fromkeys(self.federation.task.networks)}
        several = {arch: names for arch, names in declared.items() if not isinstance(names, str)}
        if not several and not self.algorithm.own_inference:
            return {}
        entries = [
            (arch, name, network, self.federation.model(arch)[name].size)
            for arch, names in several.items()
            for name, network in names.items()
        ]
        inference = "own" if self.algorithm.own_inference else "network"
        numbers, task_numbers = self.numbers
        return {"declared": entries, "inference": inference, "numbers": numbers, "task_numbers": task_numbers}

    def _measure(self, models: list[Model]) -> None:
        """Compare shapes with the declared ones, and count numbers."""
        counted: dict[str, int] = {}
        for arch, model in models:
            compare_shapes(self.federation.model(arch), model, "the judged model")
            if arch not in counted or self.algorithm.own_inference:
                size = sum(leaf.numel() for _, leaf in trees.walk(model))
                counted[arch] = max(size, counted.get(arch, 0))
        sizes = [(size, self.federation.network(arch).size) for arch, size in counted.items()]
        self.numbers = max(sizes, key=lambda pair: pair[0] / pair[1])

    def _merged(self, sums: list[ClassSums]) -> Any:
        """What the sums of a model's jobs come to."""
        return evaluate.total(sums)

    def _jobs(self, arch: str, model: bytes, alone: bool) -> Sequence[Job]:
        """Jobs whose sums add up to those of an encoded model; one that is evaluated alone is shared by all workers."""
        size, slices = self.federation.test.size, SLICES if alone else 1
        edges = [size * i // slices for i in range(slices + 1)]
        return [EvaluateJob(arch, model, start, stop) for start, stop in pairwise(edges)]

    def _scores(self, sums: list[ClassSums]) -> dict[str, Any]:
        """sums: over the test set, for each evaluated model"""
        counts = self.federation.test.counts.tolist()
        share = [count / sum(counts) for count in counts]
        accuracies = [evaluate.accuracy(of_model.hits, counts) for of_model in sums]
        return {**_means(accuracies, sums, counts), **self._calibration(sums, [share] * len(sums))}

    def _calibration(self, sums: list[ClassSums], shares: Sequence[Sequence[float]]) -> dict[str, float]:
        """Means over models of what protocol 2 measures beside accuracy; shares: weights of the classes, by model."""
        if self.federation.task.protocol == 1:
            return {}
        counts = self.federation.test.counts.tolist()
        pairs = list(zip(sums, shares, strict=True))
        return {
            "nll": round(fmean(evaluate.negative_log_likelihood(one, counts, share) for one, share in pairs), 6),
            "ece": round(fmean(evaluate.calibration_error(one, counts, share) for one, share in pairs), 6),
        }


class ClientModelsEvaluator(GlobalModelEvaluator):
    """Track heterogeneous: the mean over all clients' models, whether or not a method has a common one."""

    def evaluated_models(self, server: Tree) -> str:
        return "clients"


class PersonalizedEvaluator(ClientModelsEvaluator):
    """Track personal: every client's model on the test set, its classes weighted as in the client's own data.

    Models are also evaluated before the adaptation, which is the last of several phases if every client takes part in
    it, so that gains can be computed.
    Source: Yu, Bagdasaryan & Shmatikov 2020, accuracy of a participant on images.
    """

    evaluates_local_work = False

    def extra_round(self, phases: Sequence[Phase]) -> int | None:
        return sum(phase.rounds for phase in phases[:-1]) if len(phases) > 1 and phases[-1].everyone else None

    def prepare(self, server: Tree, memories: Memories) -> PendingEvaluation:
        """As for other tracks, but accuracy is the mean over clients of sum_c p_i(c) A_c, and `clients` lists them."""
        models = [(who.arch, model) for who, model in self._client_models(server, memories)]
        if self.federation.pooled:
            pooled = dict(models)
            networks = cycle(self.federation.task.networks)
            models = [(arch, pooled[arch]) for arch, _ in zip(networks, self._label_distributions, strict=False)]
        return self._pending(models)

    def _scores(self, sums: list[ClassSums]) -> dict[str, Any]:
        counts, distributions = self.federation.test.counts.tolist(), self._label_distributions
        accuracies = [
            evaluate.local_accuracies(of_model.hits, counts, distribution)[0]
            for of_model, distribution in zip(sums, distributions, strict=True)
        ]
        clients = [round(value, 6) for value in accuracies]
        return {**_means(accuracies, sums, counts), "clients": clients, **self._calibration(sums, distributions)}

    def extras(self, server: Tree, evaluations: list[dict[str, Any]], phases: Sequence[Phase]) -> dict[str, Any]:
        """Gain of the clients' models over the common one that they were adapted from."""
        start = self.extra_round(phases)
        if start is None or self._global_model(server) is None:
            return {}
        before = next(entry["clients"] for entry in evaluations if entry["round"] == start)
        return {"personal": evaluate.gains(before, evaluations[-1]["clients"])}

    @cached_property
    def _label_distributions(self) -> list[list[float]]:
        """Of every client's own data, also where models are trained on the data of all."""
        data = self.federation.data
        labels = [data.private.labels[rows] for rows in data.parts]
        return [(np.bincount(own, minlength=data.classes) / len(own)).tolist() for own in labels]


class LinearProbeEvaluator(GlobalModelEvaluator):
    """Track unsupervised: a linear probe on the frozen backbone, trained with all clients' labels."""

    evaluates_local_work = False

    def extras(self, server: Tree, evaluations: list[dict[str, Any]], phases: Sequence[Phase]) -> dict[str, Any]:
        """Angles within and between classes and fine-tuning with few labels, of the common model."""
        if self.evaluated_models(server) == "clients":
            return {}
        ((who, model),) = self._common_model(server)
        job = RepresentationJob(who.arch, serialization.encode(model, f"model {who.arch}").data)
        return {"representation": self.backend.map([job])[0]}

    def _jobs(self, arch: str, model: bytes, alone: bool) -> Sequence[Job]:
        return [ProbeJob(arch, model)]


def _means(accuracies: Sequence[float], sums: Sequence[ClassSums], counts: Sequence[int]) -> dict[str, Any]:
    """Means over models of their accuracies and of their accuracies per class."""
    classes = [evaluate.per_class(of_model.hits, counts) for of_model in sums]
    return {
        "accuracy": round(sum(accuracies) / len(accuracies), 6),
        "per_class": [round(sum(column) / len(column), 6) for column in zip(*classes, strict=True)],
    }


EVALUATORS: dict[str, type[GlobalModelEvaluator]] = {
    "global": GlobalModelEvaluator,
    "heterogeneous": ClientModelsEvaluator,
    "personal": PersonalizedEvaluator,
    "unsupervised": LinearProbeEvaluator,
}

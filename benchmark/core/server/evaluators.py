"""Judging by track: whose models are judged, and by what. The judge alone sees test data and all labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import chain, cycle, islice, pairwise
from typing import Any, ClassVar

import numpy as np

from benchmark.core.api import Algorithm, Phase, Who
from benchmark.core.backends.base import Backend, EvaluateJob, ProbeJob, Results
from benchmark.core.client import evaluate
from benchmark.core.client.federation import Federation
from benchmark.core.storage import checkpoint, serialization
from benchmark.core.storage.checkpoint import Memories
from benchmark.core.tree import Tree

SLICES = 4  # of the test set, so that workers share the judging of one model
Model = tuple[str, Tree]  # architecture and parameters
Mark = tuple[str, bytes]  # architecture, and hash of the encoded parameters


class PendingEvaluation:
    """Models of one round on their way to be judged, which fills what the training of the next two leaves idle.

    waiting: jobs for the worker's method `what`; they hold the models, so that rounds may go on
    scores: makes the scores of an evaluation of the jobs' results
    """

    def __init__(self, what: str, jobs: list[Any], scores: Callable[[list[Any]], dict[str, Any]]) -> None:
        self.what, self.waiting, self.scores = what, jobs, scores
        self.begun: list[Results] = []

    def advance(self, backend: Backend, rest: bool) -> None:
        """Begin jobs behind whatever the backend has to do: half of them, then the others, or all that are left."""
        count = len(self.waiting) if rest or self.begun else -(-len(self.waiting) // 2)
        self.begun.append(backend.submit(self.what, self.waiting[:count]))
        self.waiting = self.waiting[count:]

    def settle(self, backend: Backend) -> dict[str, Any]:
        """Begin what is left, wait, score."""
        self.advance(backend, rest=True)
        return self.scores([result for results in self.begun for result in results()])


class Common:
    """Track global: the common model on the test set; the mean over all clients' models where a method has none.

    after_work: clients' models are judged once more right after their last local work (in- and out-local accuracy)
    what: the worker's method that judges
    """

    after_work: ClassVar[bool] = True
    what: ClassVar[str] = "judge"

    def __init__(self, federation: Federation, algorithm: Algorithm, backend: Backend) -> None:
        self.federation, self.algorithm, self.backend = federation, algorithm, backend
        self.hits: dict[Mark, list[int]] = {}  # correct samples per class of the models judged last

    def whose(self, server: Tree) -> str:
        """Whose models are judged: "common" or "clients"."""
        return "clients" if self.algorithm.global_model(server, self.federation.who(0).arch) is None else "common"

    def judgement(self, server: Tree, memories: Memories) -> PendingEvaluation:
        """Work that judges the models as they are now; its scores are accuracy and accuracy per class, means over
        the judged models, as an evaluation of a record has them."""
        models = self._common(server) if self.whose(server) == "common" else self._clients(server, memories)
        return self._judged([(who.arch, model) for who, model in models])

    def turn(self, phases: Sequence[Phase]) -> int | None:
        """The round that is judged besides the task's own."""
        return None

    def extras(self, server: Tree, evaluations: list[dict[str, Any]], phases: Sequence[Phase]) -> dict[str, Any]:
        """What the track adds to a result."""
        return {}

    def _common(self, server: Tree) -> list[tuple[Who, Tree]]:
        who = self.federation.who(0)
        model = self.algorithm.global_model(server, who.arch)
        assert model is not None
        return [(who, model)]

    def _clients(self, server: Tree, memories: Memories) -> list[tuple[Who, Tree]]:
        pairs = []
        first = self.algorithm.phases(self.federation.task.rounds)[0]
        for client in range(self.federation.clients):
            who, path = self.federation.who(client), memories.current(client)
            if path is None:
                site = self.federation.site(client, first, 0)
                memory = self.algorithm.init_client(site, self.federation.birth(client))
            else:
                memory = checkpoint.load_memory(path)
            pairs.append((who, self.algorithm.local_model(server, memory, who)))
        return pairs

    def _judged(self, models: list[Model]) -> PendingEvaluation:
        """Equal models are judged once, and so is one that stays the same from one evaluation to the next."""
        marks: list[Mark] = []
        fresh: dict[Mark, bytes] = {}
        for arch, model in models:
            data = serialization.encode(model, f"model {arch}").data
            marks.append(mark := (arch, sha256(data).digest()))
            if mark not in self.hits:
                fresh[mark] = data
        # an evaluation that is still on its way fills the lists that the next one shares with it: they settle in order
        hits = self.hits = {mark: self.hits.get(mark, []) for mark in marks}
        jobs = {mark: self._jobs(mark[0], data, alone=len(hits) == 1) for mark, data in fresh.items()}

        def scores(results: list[list[int]]) -> dict[str, Any]:
            parts = iter(results)
            for mark, own in jobs.items():
                hits[mark] += [sum(column) for column in zip(*islice(parts, len(own)), strict=True)]
            return self._scores([hits[mark] for mark in marks])

        return PendingEvaluation(self.what, list(chain.from_iterable(jobs.values())), scores)

    def _jobs(self, arch: str, model: bytes, alone: bool) -> list[Any]:
        """Jobs whose hits add up to those of an encoded model; all workers share one that is judged alone."""
        size, slices = self.federation.test.size, SLICES if alone else 1
        edges = [size * i // slices for i in range(slices + 1)]
        return [EvaluateJob(arch, model, start, stop) for start, stop in pairwise(edges)]

    def _scores(self, hits: list[list[int]]) -> dict[str, Any]:
        """hits: correct test samples per class, for each judged model"""
        counts = self.federation.test.counts.tolist()
        return _means([evaluate.accuracy(one, counts) for one in hits], hits, counts)


class Clients(Common):
    """Track heterogeneous: the mean over all clients' models, whether or not a method has a common one."""

    def whose(self, server: Tree) -> str:
        return "clients"


class Personal(Clients):
    """Track personal: every client's model on the test set, its classes weighted as in the client's own data.

    Judges also before the adaptation, the last of several phases if every client has it, so that gains can be told.
    Source: Yu, Bagdasaryan & Shmatikov 2020, accuracy of a participant on images.
    """

    after_work = False

    def turn(self, phases: Sequence[Phase]) -> int | None:
        return sum(phase.rounds for phase in phases[:-1]) if len(phases) > 1 and phases[-1].everyone else None

    def judgement(self, server: Tree, memories: Memories) -> PendingEvaluation:
        """As for other tracks, but accuracy is the mean over clients of sum_c p_i(c) A_c, and `clients` lists them."""
        models = [(who.arch, model) for who, model in self._clients(server, memories)]
        if self.federation.pooled:
            pooled = dict(models)
            models = [(arch, pooled[arch]) for arch, _ in zip(cycle(self.federation.task.networks), self._shares)]
        return self._judged(models)

    def _scores(self, hits: list[list[int]]) -> dict[str, Any]:
        counts = self.federation.test.counts.tolist()
        own = [evaluate.local_accuracies(one, counts, share)[0] for one, share in zip(hits, self._shares, strict=True)]
        return {**_means(own, hits, counts), "clients": [round(value, 6) for value in own]}

    def extras(self, server: Tree, evaluations: list[dict[str, Any]], phases: Sequence[Phase]) -> dict[str, Any]:
        """Gain of the clients' models over the common one that they were adapted from."""
        start = self.turn(phases)
        if start is None or self.algorithm.global_model(server, self.federation.who(0).arch) is None:
            return {}
        before = next(entry["clients"] for entry in evaluations if entry["round"] == start)
        return {"personal": evaluate.gains(before, evaluations[-1]["clients"])}

    @cached_property
    def _shares(self) -> list[list[float]]:
        """Label distribution of every client, also where models are trained on the data of all."""
        given = self.federation.given
        labels = [given.private.labels[rows] for rows in given.parts]
        return [(np.bincount(own, minlength=given.classes) / len(own)).tolist() for own in labels]


class Probed(Common):
    """Track unsupervised: a linear probe on the frozen backbone, trained with all clients' labels."""

    after_work = False
    what = "probe"

    def extras(self, server: Tree, evaluations: list[dict[str, Any]], phases: Sequence[Phase]) -> dict[str, Any]:
        """Angles within and between classes and fine-tuning with few labels, of the common model."""
        if self.whose(server) == "clients":
            return {}
        ((who, model),) = self._common(server)
        job = ProbeJob(who.arch, serialization.encode(model, f"model {who.arch}").data)
        return {"representation": self.backend.map("represent", [job])[0]}

    def _jobs(self, arch: str, model: bytes, alone: bool) -> list[Any]:
        return [ProbeJob(arch, model)]


def _means(shares: Sequence[float], hits: Sequence[Sequence[int]], counts: Sequence[int]) -> dict[str, Any]:
    """Means over models of their accuracies and of their accuracies per class."""
    classes = [evaluate.per_class(one, counts) for one in hits]
    return {
        "accuracy": round(sum(shares) / len(shares), 6),
        "per_class": [round(sum(column) / len(column), 6) for column in zip(*classes, strict=True)],
    }


EVALUATORS: dict[str, type[Common]] = {
    "global": Common, "heterogeneous": Clients, "personal": Personal, "unsupervised": Probed,
}  # fmt: skip
